#pragma once

#include <memory>

#include <xxhash.h>

#include "base/bytes.hpp"
#include "migration/messages.hpp"

namespace vmigrate::migration {

/// Sums up a byte stream as it passes: XXH3-128, which finds what broke on the way at memory speed. It is no
/// proof against forgery; the authenticated channel is.
class StreamDigester {
 public:
  StreamDigester() : state_(::XXH3_createState()) { ::XXH3_128bits_reset(state_.get()); }

  void update(ByteView bytes) {
    ::XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
    count_ += bytes.size();
  }

  std::uint64_t count() const { return count_; }

  StreamDigest digest() const {
    XXH128_canonical_t canonical;
    ::XXH128_canonicalFromHash(&canonical, ::XXH3_128bits_digest(state_.get()));
    return {count_, copy_of(std::as_bytes(std::span(canonical.digest)))};
  }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { ::XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
  std::uint64_t count_ = 0;
};

}  // namespace vmigrate::migration
