#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <set>

#include "base/identifiers.hpp"
#include "base/threads.hpp"
#include "base/units.hpp"
#include "migration/held.hpp"

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

  /// Of one VM.
  using Claim = Held;

  /// Nothing when another migration still holds the VM after `patience`.
  std::optional<Claim> claim(const VmId& vm, Milliseconds patience = Milliseconds(0)) {
    std::unique_lock lock(shared_->mutex);
    if (!shared_->freed->wait_for(lock, patience, [&] { return !shared_->taken.contains(vm); }))
      return std::nullopt;
    shared_->taken.insert(vm);
    return Claim([shared = shared_, vm] {
      const std::lock_guard freeing(shared->mutex);
      shared->taken.erase(vm);
      shared->freed->notify_all();
    });
  }

 private:
  const std::shared_ptr<Shared> shared_;
};

}  // namespace vmigrate::migration
