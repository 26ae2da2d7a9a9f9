#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/threads.hpp"
#include "base/units.hpp"
#include "migration/held.hpp"

namespace vmigrate::migration {

/// What other hosts may have of something here at a time, so that none of them takes all of it. Thread-safe.
class Places {
  struct Shared {
    explicit Shared(Threads& threads) : freed(threads.make_condition()) {}
    std::mutex mutex;
    const std::unique_ptr<Condition> freed;
    std::size_t taken = 0;
    std::map<std::string, std::size_t> of_host;
  };

 public:
  Places(Threads& threads, std::size_t of_a_host, std::size_t of_all)
      : of_a_host_(of_a_host), of_all_(of_all), shared_(std::make_shared<Shared>(threads)) {}

  using Place = Held;

  /// Nothing when there is still none for this host after `patience`.
  std::optional<Place> take(const std::string& host, Milliseconds patience = Milliseconds(0)) {
    std::unique_lock lock(shared_->mutex);
    if (!shared_->freed->wait_for(lock, patience, [&] { return has_room_for(host); })) return std::nullopt;
    ++shared_->taken;
    ++shared_->of_host[host];
    return Place([shared = shared_, host] {
      const std::lock_guard freeing(shared->mutex);
      --shared->taken;
      if (--shared->of_host[host] == 0) shared->of_host.erase(host);
      shared->freed->notify_all();
    });
  }

 private:
  bool has_room_for(const std::string& host) const {
    const auto found = shared_->of_host.find(host);
    return shared_->taken < of_all_ && (found == shared_->of_host.end() || found->second < of_a_host_);
  }

  const std::size_t of_a_host_;
  const std::size_t of_all_;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace vmigrate::migration
