#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

#include "base/error.hpp"
#include "peer/trust.hpp"

namespace vmigrate::peer {

/// PEM files.
struct CredentialFiles {
  std::string certificate;  ///< this host's, with its name as a DNS subject alternative name
  std::string key;
  std::string ca;  ///< whose signature makes a certificate a host's; empty: nobody's does
};

/// What both ends of every connection are made with: TLS 1.3, and a certificate from both sides. Another
/// host's is accepted when its key is that of a paired host, or the authority has signed it.
class Credentials {
 public:
  /// Without `paired` the authority alone counts; without `desk` nobody comes to be paired.
  static Result<Credentials> load(const CredentialFiles& files,
                                  std::shared_ptr<const PairedHosts> paired = nullptr,
                                  std::shared_ptr<PairingDesk> desk = nullptr);

  SSL_CTX* context() const { return context_.get(); }
  const PairedHosts* paired() const { return trust_->paired.get(); }
  PairingDesk* desk() const { return trust_->desk.get(); }
  KeyFingerprint own_key() const;

 private:
  struct Trust {
    std::shared_ptr<const PairedHosts> paired;
    std::shared_ptr<PairingDesk> desk;
    bool authority = false;
  };
  struct Free {
    void operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
  };
  Credentials(std::shared_ptr<SSL_CTX> context, std::shared_ptr<const Trust> trust)
      : context_(std::move(context)), trust_(std::move(trust)) {}
  static int verify(X509_STORE_CTX* store, void* trust);
  static int select_protocol(SSL* connection, const unsigned char** chosen, unsigned char* length,
                             const unsigned char* offered, unsigned int offered_length, void* trust);

  // The callbacks of the one point to the other: a handshake is made while its Credentials live.
  std::shared_ptr<SSL_CTX> context_;
  std::shared_ptr<const Trust> trust_;
};

/// What a connection that is to pair two hosts says in TLS's protocol negotiation (RFC 7301).
inline constexpr std::string_view kPairingProtocol = "vmigrate-pairing/1";
bool is_for_pairing(const SSL* connection);

KeyFingerprint fingerprint_of(const X509* certificate);
/// Of the other end's key. Empty when it has shown no certificate.
KeyFingerprint peer_key(const SSL* connection);

/// The hosts that a certificate is for: its DNS subject alternative names.
std::vector<std::string> certificate_names(const X509* certificate);

/// The hosts that the other end has proved to be: the one that was paired with its key, or those that the
/// authority has signed its certificate for, as far as these have no keys of their own.
std::vector<std::string> proven_names(const SSL* connection, const PairedHosts* paired);

/// When the first of the certificates that a connection rests on ends, on either side.
std::chrono::system_clock::time_point certificates_end(const SSL* connection);

/// Whether the certificate that the other end has shown counts no more, or an authority's behind it. It is
/// accepted nevertheless where a session goes on; none begins with it.
bool has_expired(const SSL* connection);

/// The oldest error that OpenSSL keeps for this thread, in words; the others are forgotten.
std::string openssl_error();

}  // namespace vmigrate::peer
