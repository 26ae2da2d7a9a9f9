#include "trust/spake2.hpp"

#include <new>
#include <string_view>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/obj_mac.h>
#include <openssl/params.h>

namespace vmigrate::trust {
namespace {

// RFC 9382, 6: points of which nobody knows a multiple that gives the other.
constexpr const char* kPointM = "02886e2f97ace46e55ba9dd7242579f2993b64e16ef3dcab95afd497333d8fa12f";
constexpr const char* kPointN = "03d8bbd6c639c62937b04d997f38c3770719c629d7014d49a24b4f98baa1292b49";
constexpr std::size_t kScalarSize = 32;
constexpr std::size_t kKeySize = 16;  // half a SHA-256

struct FreeNumber {
  void operator()(BIGNUM* number) const { ::BN_clear_free(number); }
};
struct FreePoint {
  void operator()(EC_POINT* point) const { ::EC_POINT_clear_free(point); }
};
struct FreeGroup {
  void operator()(EC_GROUP* group) const { ::EC_GROUP_free(group); }
};
struct FreeContext {
  void operator()(BN_CTX* context) const { ::BN_CTX_free(context); }
};
using Number = std::unique_ptr<BIGNUM, FreeNumber>;
using Point = std::unique_ptr<EC_POINT, FreePoint>;
using Group = std::unique_ptr<EC_GROUP, FreeGroup>;
using Context = std::unique_ptr<BN_CTX, FreeContext>;

/// What fails here fails only for want of memory, or of random numbers.
void require(bool done) {
  if (!done) throw std::bad_alloc();
}

template <class Pointer>
Pointer required(Pointer pointer) {
  require(pointer != nullptr);
  return pointer;
}

Number number_of(const char* digits) {
  BIGNUM* number = nullptr;
  require(::BN_hex2bn(&number, digits) != 0);
  ::BN_set_flags(number, BN_FLG_CONSTTIME);
  return Number(number);
}

Number new_number() {
  Number number = required(Number(::BN_secure_new()));
  ::BN_set_flags(number.get(), BN_FLG_CONSTTIME);
  return number;
}

void append(ByteBuffer& to, ByteView bytes) {
  // RFC 9382, 3.3: lengths are 64 bits, little-endian.
  for (unsigned shift = 0; shift < 64; shift += 8)
    to.push_back(static_cast<std::byte>(std::uint64_t{bytes.size()} >> shift & 0xff));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

unsigned char* raw(std::byte* bytes) {
  return reinterpret_cast<unsigned char*>(bytes);
}
const unsigned char* raw(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

using Digest = std::array<std::byte, 32>;

Digest sha256(ByteView bytes) {
  Digest digest{};
  require(::EVP_Digest(bytes.data(), bytes.size(), raw(digest.data()), nullptr, ::EVP_sha256(), nullptr) ==
          1);
  return digest;
}

/// HKDF with no salt (RFC 5869).
std::array<std::byte, 2 * kKeySize> derive(ByteView key, std::string info) {
  const std::unique_ptr<EVP_KDF, decltype(&::EVP_KDF_free)> kdf(::EVP_KDF_fetch(nullptr, "HKDF", nullptr),
                                                                &::EVP_KDF_free);
  require(kdf != nullptr);
  const std::unique_ptr<EVP_KDF_CTX, decltype(&::EVP_KDF_CTX_free)> context(::EVP_KDF_CTX_new(kdf.get()),
                                                                            &::EVP_KDF_CTX_free);
  std::string hash = "SHA256";
  ByteBuffer secret = copy_of(key);
  const std::array<OSSL_PARAM, 4> parameters{
      ::OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, hash.data(), 0),
      ::OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      ::OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      ::OSSL_PARAM_construct_end()};
  std::array<std::byte, 2 * kKeySize> keys{};
  const int done = ::EVP_KDF_derive(context.get(), raw(keys.data()), keys.size(), parameters.data());
  ::OPENSSL_cleanse(secret.data(), secret.size());
  require(done == 1);
  return keys;
}

Confirmation hmac(ByteView key, ByteView message) {
  Confirmation result{};
  require(::HMAC(::EVP_sha256(), key.data(), static_cast<int>(key.size()), raw(message.data()),
                 message.size(), raw(result.data()), nullptr) != nullptr);
  return result;
}

}  // namespace

struct Spake2::Numbers {
  explicit Numbers(Side taken) : side(taken) { require(group && context && order()); }

  const BIGNUM* order() const { return ::EC_GROUP_get0_order(group.get()); }
  Point point() const { return required(Point(::EC_POINT_new(group.get()))); }
  Point point(const char* digits) const {
    return required(Point(::EC_POINT_hex2point(group.get(), digits, nullptr, context.get())));
  }
  /// number * base, or number * generator.
  Point times(const EC_POINT* base, const BIGNUM* number) const {
    Point result = point();
    require(::EC_POINT_mul(group.get(), result.get(), base == nullptr ? number : nullptr, base,
                           base == nullptr ? nullptr : number, context.get()) == 1);
    return result;
  }
  Point sum(const EC_POINT* left, const EC_POINT* right) const {
    Point result = point();
    require(::EC_POINT_add(group.get(), result.get(), left, right, context.get()) == 1);
    return result;
  }
  ByteBuffer encoded(const EC_POINT* of) const {
    ByteBuffer bytes(kShareSize);
    require(::EC_POINT_point2oct(group.get(), of, POINT_CONVERSION_UNCOMPRESSED, raw(bytes.data()),
                                 bytes.size(), context.get()) == bytes.size());
    return bytes;
  }
  /// What a side's share is blinded with.
  Point blinding(Side whose) const {
    return times(point(whose == Side::a ? kPointM : kPointN).get(), w.get());
  }

  const Side side;
  const Group group{::EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1)};
  const Context context{::BN_CTX_secure_new()};
  Number w;    // of the secret
  Number own;  // x or y
};

Spake2::Spake2(std::unique_ptr<Numbers> numbers) : numbers_(std::move(numbers)) {
}
Spake2::Spake2(Spake2&& other) noexcept = default;
Spake2::~Spake2() = default;

Spake2 Spake2::with_secret(Side side, const std::string& secret) {
  auto numbers = std::make_unique<Numbers>(side);
  // 64 bytes for 32: what is left of them after the division favours no number. No slow function, as for
  // passwords that are kept: this secret is worth nothing a few minutes later, and can be tried only here.
  std::array<unsigned char, 64> digest{};
  const std::string labelled = "vmigrate pairing code:" + secret;
  require(::EVP_Digest(labelled.data(), labelled.size(), digest.data(), nullptr, ::EVP_sha512(), nullptr) ==
          1);
  numbers->w = new_number();
  numbers->own = new_number();
  const Number large = new_number();
  require(::BN_bin2bn(digest.data(), static_cast<int>(digest.size()), large.get()) != nullptr &&
          ::BN_mod(numbers->w.get(), large.get(), numbers->order(), numbers->context.get()) == 1);
  do {
    require(::BN_priv_rand_range(numbers->own.get(), numbers->order()) == 1);
  } while (BN_is_zero(numbers->own.get()));
  ::OPENSSL_cleanse(digest.data(), digest.size());
  return Spake2(std::move(numbers));
}

Spake2 Spake2::with_scalars(Side side, const char* w, const char* own) {
  auto numbers = std::make_unique<Numbers>(side);
  numbers->w = number_of(w);
  numbers->own = number_of(own);
  return Spake2(std::move(numbers));
}

ByteBuffer Spake2::share() const {
  const Point public_part = numbers_->times(nullptr, numbers_->own.get());
  return numbers_->encoded(numbers_->sum(public_part.get(), numbers_->blinding(numbers_->side).get()).get());
}

Result<Spake2::Confirmations> Spake2::finish(ByteView others_share,
                                             const Spake2Identities& identities) const {
  const auto& numbers = *numbers_;
  const Point others = numbers.point();
  // Refuses what is not on the curve; P-256 has no other points that would have to be kept out.
  if (others_share.size() != kShareSize ||
      ::EC_POINT_oct2point(numbers.group.get(), others.get(), raw(others_share.data()), others_share.size(),
                           numbers.context.get()) != 1) {
    return fail(ErrorCode::refused, "it sent something that is no share of a secret");
  }
  const Point blinding = numbers.blinding(numbers.side == Side::a ? Side::b : Side::a);
  require(::EC_POINT_invert(numbers.group.get(), blinding.get(), numbers.context.get()) == 1);
  const Point common = numbers.times(numbers.sum(others.get(), blinding.get()).get(), numbers.own.get());
  if (::EC_POINT_is_at_infinity(numbers.group.get(), common.get()) == 1)
    return fail(ErrorCode::refused, "it sent a share whose result is known beforehand");

  const ByteBuffer own_share = share();
  ByteBuffer scalar(kScalarSize);
  require(::BN_bn2binpad(numbers.w.get(), raw(scalar.data()), static_cast<int>(scalar.size())) ==
          static_cast<int>(scalar.size()));
  ByteBuffer key = numbers.encoded(common.get());
  ByteBuffer transcript;
  append(transcript, as_byte_view(identities.a));
  append(transcript, as_byte_view(identities.b));
  append(transcript, numbers.side == Side::a ? ByteView(own_share) : others_share);
  append(transcript, numbers.side == Side::a ? others_share : ByteView(own_share));
  append(transcript, key);
  append(transcript, scalar);
  const Digest digest = sha256(transcript);
  // The first half would be a key for what follows, but TLS has one already.
  auto keys = derive(ByteView(digest).subspan(kKeySize), "ConfirmationKeys" + identities.context);
  const ByteView both(keys);
  const Confirmations result{hmac(both.first(kKeySize), transcript),
                             hmac(both.subspan(kKeySize), transcript)};
  for (auto* secret : {&scalar, &key, &transcript}) ::OPENSSL_cleanse(secret->data(), secret->size());
  ::OPENSSL_cleanse(keys.data(), keys.size());
  return result;
}

bool same(const Confirmation& left, ByteView right) {
  return left.size() == right.size() && ::CRYPTO_memcmp(left.data(), right.data(), left.size()) == 0;
}

}  // namespace vmigrate::trust
