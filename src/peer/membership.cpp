#include "peer/membership.hpp"

#include <array>
#include <cstdlib>
#include <string_view>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <sys/random.h>

#include "peer/credentials.hpp"

namespace vmigrate::peer {
namespace {

constexpr std::size_t kSecretBytes = 32;
constexpr std::string_view kLabel = "EXPORTER-vmigrate-join";

void append_number(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 0xff));
}

/// HMAC-SHA256 with the secret, over what both ends export from the connection, and what the join says.
Result<std::string> proof_of(const wire::Join& join, const std::string& secret, const TlsStream& stream) {
  std::array<unsigned char, kSecretBytes> exported{};
  // The call only reads the connection's keys, but does not say so.
  auto* connection = const_cast<SSL*>(stream.connection());
  if (::SSL_export_keying_material(connection, exported.data(), exported.size(), kLabel.data(), kLabel.size(),
                                   nullptr, 0, 0) != 1) {
    return fail(ErrorCode::failed, "OpenSSL: " + openssl_error());
  }
  std::string said(exported.begin(), exported.end());
  append_number(said, join.connection(), 4);
  append_number(said, join.attempt(), 4);
  append_number(said, join.received(), 8);
  std::array<unsigned char, EVP_MAX_MD_SIZE> proof{};
  unsigned int size = 0;
  if (::HMAC(::EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(said.data()), said.size(), proof.data(),
             &size) == nullptr) {
    return fail(ErrorCode::failed, "OpenSSL: " + openssl_error());
  }
  return std::string(proof.begin(), proof.begin() + size);
}

}  // namespace

std::string random_secret() {
  std::string secret(kSecretBytes, '\0');
  if (::getrandom(secret.data(), secret.size(), 0) != static_cast<ssize_t>(secret.size())) std::abort();
  return secret;
}

Result<> prove(wire::Join& join, const std::string& secret, const TlsStream& stream) {
  auto proof = proof_of(join, secret, stream);
  if (!proof) return fail(proof.error());
  join.set_proof(std::move(*proof));
  return {};
}

bool is_proved(const wire::Join& join, const std::string& secret, const TlsStream& stream) {
  const auto proof = proof_of(join, secret, stream);
  return proof && proof->size() == join.proof().size() &&
         ::CRYPTO_memcmp(proof->data(), join.proof().data(), proof->size()) == 0;
}

}  // namespace vmigrate::peer
