#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "base/identifiers.hpp"
#include "base/threads.hpp"
#include "base/units.hpp"

namespace vmigrate::migration {

/// Which VMs a migration is under way of on this host, in either direction: one at a time.
class Claims {
  struct Shared {
    explicit Shared(Threads& threads) : freed(threads.make_condition()) {}
    std::mutex mutex;
    const std::unique_ptr<Condition> freed;
    std::set<VmId> taken;
  };

 public:
  explicit Claims(Threads& threads) : shared_(std::make_shared<Shared>(threads)) {}

  /// Holds one VM until it is destroyed.
  class Claim {
   public:
    Claim(Claim&& other) noexcept : shared_(std::move(other.shared_)), vm_(std::move(other.vm_)) {}
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    Claim& operator=(Claim&&) = delete;
    ~Claim() {
      if (!shared_) return;
      const std::lock_guard lock(shared_->mutex);
      shared_->taken.erase(vm_);
      shared_->freed->notify_all();
    }

   private:
    friend class Claims;
    Claim(std::shared_ptr<Shared> shared, VmId vm) : shared_(std::move(shared)), vm_(std::move(vm)) {}
    std::shared_ptr<Shared> shared_;
    VmId vm_;
  };

  /// Nothing when another migration still holds the VM after `patience`.
  std::optional<Claim> claim(const VmId& vm, Milliseconds patience = Milliseconds(0)) {
    std::unique_lock lock(shared_->mutex);
    if (!shared_->freed->wait_for(lock, patience, [&] { return !shared_->taken.contains(vm); }))
      return std::nullopt;
    shared_->taken.insert(vm);
    return Claim(shared_, vm);
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace vmigrate::migration
