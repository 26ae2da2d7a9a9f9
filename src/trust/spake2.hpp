#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/bytes.hpp"
#include "base/error.hpp"

/// SPAKE2 (RFC 9382) with P-256, SHA-256, HKDF and HMAC: two sides find out whether they were given the same
/// short secret. Each learns yes or no and nothing else; so does whoever stands in between, about the one
/// secret that it has tried. Nothing that was said helps to try others afterwards.
namespace vmigrate::trust {

/// A SHA-256 HMAC.
using Confirmation = std::array<std::byte, 32>;

struct Spake2Identities {
  std::string a;
  std::string b;
  /// What both sides must have seen alike, beside their names.
  std::string context;
};

class Spake2 {
 public:
  enum class Side { a, b };
  /// A point of the curve, uncompressed (SEC 1, 2.3.3).
  static constexpr std::size_t kShareSize = 65;

  /// Of a secret of any length.
  static Spake2 with_secret(Side side, const std::string& secret);
  /// The RFC's test vectors give the scalars w, and x or y, in hexadecimal digits.
  static Spake2 with_scalars(Side side, const char* w, const char* own);

  Spake2(Spake2&& other) noexcept;
  Spake2& operator=(Spake2&&) = delete;
  ~Spake2();

  /// What the other side is sent: pA or pB.
  ByteBuffer share() const;

  struct Confirmations {
    Confirmation a;
    Confirmation b;
  };
  /// What either side proves with that it knows the secret. Refuses a share that is no point, or one that
  /// makes the result known beforehand.
  Result<Confirmations> finish(ByteView others_share, const Spake2Identities& identities) const;

 private:
  struct Numbers;
  explicit Spake2(std::unique_ptr<Numbers> numbers);
  std::unique_ptr<Numbers> numbers_;
};

/// In constant time.
bool same(const Confirmation& left, ByteView right);

}  // namespace vmigrate::trust
