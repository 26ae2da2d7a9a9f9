#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "peer/credentials.hpp"

namespace vmigrate::peer {

/// What a certificate is to be like, where it differs from a good one.
struct CertificateWish {
  std::vector<std::string> names;  ///< DNS subject alternative names
  std::chrono::hours begins{-1};   ///< from now
  std::chrono::hours ends{24};
  std::string extended_key_usage{};  ///< in OpenSSL's words, such as "serverAuth"; empty: for anything
};

/// Signs certificates for the hosts of a test, in a folder that goes away with it.
class CertificateAuthority {
 public:
  CertificateAuthority();
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  /// Certificate and key of a host, and this authority's certificate.
  CredentialFiles issue(const CertificateWish& wish);
  CredentialFiles issue(const std::string& name) { return issue(CertificateWish{.names = {name}}); }
  std::string certificate_file() const { return folder_ + "/ca.pem"; }
  std::string in_folder(const std::string& name) const { return folder_ + "/" + name; }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&::X509_free)>;
  static Key make_key();
  Certificate sign(EVP_PKEY* key, const CertificateWish& wish, bool authority);

  std::string folder_;
  Key key_;
  Certificate certificate_;
  int serial_ = 1;
};

}  // namespace vmigrate::peer
