#pragma once

#include <functional>
#include <utility>

namespace vmigrate::migration {

/// Something that is held until this is destroyed.
class Held {
 public:
  explicit Held(std::function<void()> let_go) : let_go_(std::move(let_go)) {}
  Held(Held&& other) noexcept : let_go_(std::exchange(other.let_go_, nullptr)) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  Held& operator=(Held&&) = delete;
  ~Held() {
    if (let_go_) let_go_();
  }

 private:
  std::function<void()> let_go_;
};

}  // namespace vmigrate::migration
