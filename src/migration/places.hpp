#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace vmigrate::migration {

/// What other hosts may have of something here at a time, so that none of them takes all of it. Thread-safe.
class Places {
  struct Shared {
    std::mutex mutex;
    std::size_t taken = 0;
    std::map<std::string, std::size_t> of_host;
  };

 public:
  Places(std::size_t of_a_host, std::size_t of_all) : of_a_host_(of_a_host), of_all_(of_all) {}

  /// Taken until it is destroyed.
  class Place {
   public:
    Place(Place&& other) noexcept : shared_(std::move(other.shared_)), host_(std::move(other.host_)) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    Place& operator=(Place&&) = delete;
    ~Place() {
      if (!shared_) return;
      const std::lock_guard lock(shared_->mutex);
      --shared_->taken;
      if (--shared_->of_host[host_] == 0) shared_->of_host.erase(host_);
    }

   private:
    friend class Places;
    Place(std::shared_ptr<Shared> shared, std::string host)
        : shared_(std::move(shared)), host_(std::move(host)) {}
    std::shared_ptr<Shared> shared_;
    std::string host_;
  };

  /// Nothing when there is none for this host.
  std::optional<Place> take(const std::string& host) {
    const std::lock_guard lock(shared_->mutex);
    const auto found = shared_->of_host.find(host);
    const std::size_t has = found == shared_->of_host.end() ? 0 : found->second;
    if (shared_->taken >= of_all_ || has >= of_a_host_) return std::nullopt;
    ++shared_->taken;
    ++shared_->of_host[host];
    return Place(shared_, host);
  }

 private:
  const std::size_t of_a_host_;
  const std::size_t of_all_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
};

}  // namespace vmigrate::migration
