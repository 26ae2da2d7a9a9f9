#include "daemon/certificate.hpp"

#include <ctime>
#include <memory>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

namespace vmigrate::daemon {

Result<std::chrono::system_clock::time_point> certificate_expiry(const std::string& path) {
  const std::unique_ptr<BIO, decltype(&::BIO_free)> file(::BIO_new_file(path.c_str(), "r"), &::BIO_free);
  if (!file) return fail(ErrorCode::failed, path + " cannot be read", "see tls.certificate in migrated.toml");
  const std::unique_ptr<X509, decltype(&::X509_free)> certificate(
      ::PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr), &::X509_free);
  if (!certificate) return fail(ErrorCode::failed, path + " holds no certificate in PEM form");
  std::tm time{};
  if (::ASN1_TIME_to_tm(::X509_get0_notAfter(certificate.get()), &time) != 1) {
    return fail(ErrorCode::failed, path + " does not say how long it is valid");
  }
  return std::chrono::system_clock::from_time_t(::timegm(&time));
}

}  // namespace vmigrate::daemon
