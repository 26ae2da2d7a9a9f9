#include "daemon/certificate.hpp"

#include <algorithm>
#include <ctime>
#include <memory>

#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "trust/own_identity.hpp"

namespace vmigrate::daemon {
namespace {

using TimePoint = std::chrono::system_clock::time_point;

Result<TimePoint> expiry(const X509* certificate, const std::string& path) {
  std::tm time{};
  if (::ASN1_TIME_to_tm(::X509_get0_notAfter(certificate), &time) != 1) {
    return fail(ErrorCode::failed, path + " does not say how long it is valid");
  }
  return std::chrono::system_clock::from_time_t(::timegm(&time));
}

/// Looks at it as the other end of a connection does, to which a host is a server in either role. `expires`
/// becomes the earliest end in the chain that was found, as far as it was.
Result<std::string> verify(SSL_CTX* context, X509* certificate, TimePoint* expires, const std::string& path) {
  const std::unique_ptr<X509_STORE_CTX, decltype(&::X509_STORE_CTX_free)> verification(
      ::X509_STORE_CTX_new(), &::X509_STORE_CTX_free);
  STACK_OF(X509)* above = nullptr;
  ::SSL_CTX_get0_chain_certs(context, &above);
  if (!verification ||
      ::X509_STORE_CTX_init(verification.get(), ::SSL_CTX_get_cert_store(context), certificate, above) != 1 ||
      ::X509_STORE_CTX_set_default(verification.get(), "ssl_server") != 1) {
    return fail(ErrorCode::failed, "OpenSSL: " + peer::openssl_error());
  }
  const bool accepted = ::X509_verify_cert(verification.get()) == 1;
  const auto* chain = ::X509_STORE_CTX_get0_chain(verification.get());
  for (int i = 0; i < sk_X509_num(chain); ++i) {
    const auto end = expiry(sk_X509_value(chain, i), path);
    if (!end) return fail(end.error());
    *expires = std::min(*expires, *end);
  }
  if (accepted) return std::string();
  return std::string(::X509_verify_cert_error_string(::X509_STORE_CTX_get_error(verification.get())));
}

}  // namespace

peer::CredentialFiles credential_files(const Configuration& configuration) {
  const auto& tls = configuration.tls;
  if (tls.certificate.empty()) return trust::own_identity_files(configuration.paths.state);
  return {tls.certificate, tls.key, tls.ca};
}

Result<CertificateReport> examine_certificate(const peer::CredentialFiles& files) {
  const auto credentials = peer::Credentials::load(files);
  if (!credentials) return fail(credentials.error());
  SSL_CTX* context = credentials->context();
  X509* certificate = ::SSL_CTX_get0_certificate(context);
  const auto end = expiry(certificate, files.certificate);
  if (!end) return fail(end.error());
  CertificateReport report{peer::certificate_names(certificate), *end};
  // Without an authority the others know the key, and whether it is this one they say when they are dialled.
  if (files.ca.empty()) return report;
  auto rejected = verify(context, certificate, &report.expires, files.certificate);
  if (!rejected) return fail(rejected.error());
  report.rejected_because = std::move(*rejected);
  return report;
}

}  // namespace vmigrate::daemon
