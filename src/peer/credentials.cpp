#include "peer/credentials.hpp"

#include <array>

#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace vmigrate::peer {
namespace {

tl::unexpected<Error> unusable(const std::string& file, const char* what) {
  return fail(ErrorCode::failed, file + ": cannot use this " + what + ": " + openssl_error(),
              "see the [tls] section of migrated.toml");
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

Result<Credentials> Credentials::load(const CredentialFiles& files) {
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
  if (::SSL_CTX_load_verify_file(context.get(), files.ca.c_str()) != 1)
    return unusable(files.ca, "CA certificate");
  if (::SSL_CTX_use_certificate_chain_file(context.get(), files.certificate.c_str()) != 1) {
    return unusable(files.certificate, "certificate");
  }
  if (::SSL_CTX_use_PrivateKey_file(context.get(), files.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      ::SSL_CTX_check_private_key(context.get()) != 1) {
    return unusable(files.key, "private key");
  }
  return Credentials(std::move(context));
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

std::vector<std::string> peer_names(const SSL* connection) {
  const std::unique_ptr<X509, decltype(&::X509_free)> certificate(::SSL_get1_peer_certificate(connection),
                                                                  &::X509_free);
  return certificate ? certificate_names(certificate.get()) : std::vector<std::string>();
}

}  // namespace vmigrate::peer
