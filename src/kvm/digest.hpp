#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

// With the widest registers that the processor has.
#include <xxh_x86dispatch.h>

#include "base/bytes.hpp"

namespace vmigrate::kvm {

/// XXH3-128 in its canonical (big-endian) form: finds what broke on the way. No proof against forgery.
using Digest = std::array<std::byte, 16>;

inline Digest canonical(XXH128_hash_t hash) {
  XXH128_canonical_t bytes;
  ::XXH128_canonicalFromHash(&bytes, hash);
  Digest digest;
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<std::byte>(bytes.digest[i]);
  return digest;
}

inline Digest digest_of(ByteView bytes) {
  return canonical(::XXH3_128bits(bytes.data(), bytes.size()));
}

/// Of bytes as they pass.
class Digester {
 public:
  Digester() : state_(::XXH3_createState()) { ::XXH3_128bits_reset(state_.get()); }

  void update(ByteView bytes) {
    ::XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
    count_ += bytes.size();
  }
  std::uint64_t count() const { return count_; }
  Digest digest() const { return canonical(::XXH3_128bits_digest(state_.get())); }

 private:
  struct Free {
    void operator()(XXH3_state_t* state) const { ::XXH3_freeState(state); }
  };
  std::unique_ptr<XXH3_state_t, Free> state_;
  std::uint64_t count_ = 0;
};

}  // namespace vmigrate::kvm
