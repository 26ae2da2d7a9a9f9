#pragma once

#include <memory>
#include <string>
#include <vector>

#include <openssl/ssl.h>

#include "base/error.hpp"

namespace vmigrate::peer {

/// PEM files.
struct CredentialFiles {
  std::string certificate;  ///< this host's, with its name as a DNS subject alternative name
  std::string key;
  std::string ca;  ///< whose signature makes a certificate a host's
};

/// What both ends of every connection are made with: TLS 1.3, and a certificate from both sides.
class Credentials {
 public:
  static Result<Credentials> load(const CredentialFiles& files);

  SSL_CTX* context() const { return context_.get(); }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  };
  explicit Credentials(std::shared_ptr<SSL_CTX> context) : context_(std::move(context)) {}

  std::shared_ptr<SSL_CTX> context_;
};

/// The hosts that a certificate is for: its DNS subject alternative names.
std::vector<std::string> certificate_names(const X509* certificate);

/// The names that the other end's certificate is for; it has been verified by then.
std::vector<std::string> peer_names(const SSL* connection);

/// The oldest error that OpenSSL keeps for this thread, in words; the others are forgotten.
std::string openssl_error();

}  // namespace vmigrate::peer
