#include "peer/credentials.hpp"

#include <algorithm>
#include <array>
#include <ctime>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

namespace vmigrate::peer {
namespace {

tl::unexpected<Error> unusable(const std::string& file, const char* what) {
  return fail(ErrorCode::failed, file + ": cannot use this " + what + ": " + openssl_error(),
              "see the [tls] section of migrated.toml");
}

// A session that has begun goes on when its certificates end: a connection of it that is lost is made again.
// So it is no matter of the handshake that one has ended, but of what the connection is for: has_expired().
int overlook_end(int good, X509_STORE_CTX* store) {
  if (good != 1 && ::X509_STORE_CTX_get_error(store) != X509_V_ERR_CERT_HAS_EXPIRED) return 0;
  ::X509_STORE_CTX_set_error(store, X509_V_OK);
  return 1;
}

std::chrono::system_clock::time_point end_of(const X509* certificate) {
  std::tm time{};
  if (certificate == nullptr || ::ASN1_TIME_to_tm(::X509_get0_notAfter(certificate), &time) != 1) return {};
  return std::chrono::system_clock::from_time_t(::timegm(&time));
}

std::shared_ptr<X509> peer_certificate(const SSL* connection) {
  return {::SSL_get1_peer_certificate(connection), &::X509_free};
}

std::chrono::system_clock::time_point peer_certificates_end(const SSL* connection) {
  auto end = end_of(peer_certificate(connection).get());
  const auto* chain = ::SSL_get0_verified_chain(connection);
  for (int i = 0; chain != nullptr && i < sk_X509_num(chain); ++i)
    end = std::min(end, end_of(sk_X509_value(chain, i)));
  return end;
}

/// Whether the authority has signed the other end's certificate. A key that is known counts without one, and
/// then OpenSSL has built no chain.
bool is_signed(const SSL* connection) {
  const auto* chain = ::SSL_get0_verified_chain(connection);
  return chain != nullptr && sk_X509_num(chain) > 0;
}

}  // namespace

std::string openssl_error() {
  const unsigned long code = ::ERR_get_error();
  ::ERR_clear_error();
  if (code == 0) return "unknown error";
  if (const char* reason = ::ERR_reason_error_string(code)) return reason;
  std::array<char, 256> text{};
  ::ERR_error_string_n(code, text.data(), text.size());
  return text.data();
}

/// Called in the handshake, in place of OpenSSL's own judgement, which it asks where there is an authority.
int Credentials::verify(X509_STORE_CTX* store, void* trust) {
  const auto& trusted = *static_cast<const Trust*>(trust);
  const auto* connection =
      static_cast<const SSL*>(::X509_STORE_CTX_get_ex_data(store, ::SSL_get_ex_data_X509_STORE_CTX_idx()));
  X509* certificate = ::X509_STORE_CTX_get0_cert(store);
  // Whoever is to be paired proves by the handshake that it has this key. Whose key it is, pairing finds out;
  // such a connection can do nothing else.
  if (connection != nullptr && is_for_pairing(connection)) {
    ::X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
  }
  if (trusted.paired && trusted.paired->name_of(fingerprint_of(certificate))) {
    const bool begun = ::X509_cmp_current_time(::X509_get0_notBefore(certificate)) < 0;
    ::X509_STORE_CTX_set_error(store, begun ? X509_V_OK : X509_V_ERR_CERT_NOT_YET_VALID);
    return begun ? 1 : 0;
  }
  if (trusted.authority) {
    ::X509_STORE_CTX_set_verify_cb(store, &overlook_end);
    return ::X509_verify_cert(store);
  }
  ::X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_UNTRUSTED);
  return 0;
}

int Credentials::select_protocol(SSL* /*connection*/, const unsigned char** chosen, unsigned char* length,
                                 const unsigned char* offered, unsigned int offered_length, void* trust) {
  const std::string_view wanted(reinterpret_cast<const char*>(offered), offered_length);
  // One name, with its length in front: nothing of ours offers more.
  if (wanted.substr(std::min<std::size_t>(1, wanted.size())) != kPairingProtocol) return SSL_TLSEXT_ERR_NOACK;
  const auto& trusted = *static_cast<const Trust*>(trust);
  if (!trusted.desk || !trusted.desk->expects_somebody()) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = offered + 1;
  *length = static_cast<unsigned char>(kPairingProtocol.size());
  return SSL_TLSEXT_ERR_OK;
}

Result<Credentials> Credentials::load(const CredentialFiles& files, std::shared_ptr<const PairedHosts> paired,
                                      std::shared_ptr<PairingDesk> desk) {
  auto trust = std::make_shared<const Trust>(Trust{std::move(paired), std::move(desk), !files.ca.empty()});
  ::ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(::SSL_CTX_new(::TLS_method()), Free());
  if (!context) return fail(ErrorCode::failed, "OpenSSL: " + openssl_error());
  ::SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
  // OpenSSL asks for keys of 256 bits first, which take longer and keep nobody out that 128 do not. The three
  // are in every OpenSSL, so this cannot fail.
  (void)::SSL_CTX_set_ciphersuites(
      context.get(), "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256");
  // A session that could be resumed would outlive the removal of its peer.
  ::SSL_CTX_set_num_tickets(context.get(), 0);
  ::SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  ::SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A host is a server, in either role: OpenSSL would look whether the one that dials is good for a client.
  // What is for clients only, as libvirt's clientcert.pem, is no host's.
  if (::SSL_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER) != 1)
    return fail(ErrorCode::failed, "OpenSSL: " + openssl_error());
  if (trust->authority && ::SSL_CTX_load_verify_file(context.get(), files.ca.c_str()) != 1)
    return unusable(files.ca, "CA certificate");
  auto* argument =
      const_cast<Trust*>(trust.get());  // NOLINT(*-const-cast): OpenSSL's callbacks take no other
  ::SSL_CTX_set_cert_verify_callback(context.get(), &Credentials::verify, argument);
  ::SSL_CTX_set_alpn_select_cb(context.get(), &Credentials::select_protocol, argument);
  if (::SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    return unusable(files.certificate, "certificate");
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      ::SSL_CTX_check_private_key(context.get()) != 1) {
    return unusable(files.key, "private key");
  }
  return Credentials(std::move(context), std::move(trust));
}

KeyFingerprint Credentials::own_key() const {
  return fingerprint_of(::SSL_CTX_get0_certificate(context_.get()));
}

bool is_for_pairing(const SSL* connection) {
  const unsigned char* name = nullptr;
  unsigned int length = 0;
  ::SSL_get0_alpn_selected(connection, &name, &length);
  return name != nullptr && std::string_view(reinterpret_cast<const char*>(name), length) == kPairingProtocol;
}

KeyFingerprint fingerprint_of(const X509* certificate) {
  unsigned char* encoded = nullptr;
  const int size = ::i2d_X509_PUBKEY(::X509_get_X509_PUBKEY(certificate), &encoded);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int length = 0;
  const bool done = size > 0 && ::EVP_Digest(encoded, static_cast<std::size_t>(size), digest.data(), &length,
                                             ::EVP_sha256(), nullptr) == 1;
  ::OPENSSL_free(encoded);
  if (!done) return {};
  return {fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + length, ""))};
}

KeyFingerprint peer_key(const SSL* connection) {
  const auto certificate = peer_certificate(connection);
  return certificate ? fingerprint_of(certificate.get()) : KeyFingerprint();
}

std::vector<std::string> certificate_names(const X509* certificate) {
  std::vector<std::string> names;
  const std::unique_ptr<GENERAL_NAMES, decltype(&::GENERAL_NAMES_free)> list(
      static_cast<GENERAL_NAMES*>(::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)),
      &::GENERAL_NAMES_free);
  for (int i = 0; list && i < sk_GENERAL_NAME_num(list.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list.get(), i);
    if (name->type != GEN_DNS) continue;
    const auto* text = ::ASN1_STRING_get0_data(name->d.dNSName);
    names.emplace_back(reinterpret_cast<const char*>(text),
                       static_cast<std::size_t>(::ASN1_STRING_length(name->d.dNSName)));
  }
  return names;
}

std::vector<std::string> proven_names(const SSL* connection, const PairedHosts* paired) {
  const auto certificate = peer_certificate(connection);
  if (!certificate || is_for_pairing(connection)) return {};
  if (paired != nullptr) {
    if (auto name = paired->name_of(fingerprint_of(certificate.get()))) return {std::move(*name)};
  }
  // A host that was taken out since the handshake has proved nothing, whatever its certificate says.
  if (!is_signed(connection)) return {};
  auto names = certificate_names(certificate.get());
  // Whoever is paired is known by its key alone: the authority's word counts no more for it.
  if (paired != nullptr)
    std::erase_if(names, [&](const std::string& name) { return paired->find(name).has_value(); });
  return names;
}

std::chrono::system_clock::time_point certificates_end(const SSL* connection) {
  return std::min(end_of(::SSL_get_certificate(connection)), peer_certificates_end(connection));
}

bool has_expired(const SSL* connection) {
  return peer_certificates_end(connection) < std::chrono::system_clock::now();
}

}  // namespace vmigrate::peer
