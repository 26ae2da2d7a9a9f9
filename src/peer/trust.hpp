#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace vmigrate::peer {

class TlsStream;

struct HostAddress {
  std::string host;  ///< name or address
  std::uint16_t port = 0;

  /// "10.0.0.2:16510", "[fd00::2]:16510".
  std::string text() const;
};

/// A public key, as SHA-256 of its SubjectPublicKeyInfo (RFC 5280, 4.1) in lower-case hexadecimal digits. Not
/// of the certificate: that can be renewed for the same key.
struct KeyFingerprint {
  std::string digits;
  auto operator<=>(const KeyFingerprint&) const = default;
};

/// The hosts whose keys this one knows. Thread-safe; asked anew at every connection, so that what is taken
/// out counts at once.
class PairedHosts {
 public:
  struct Host {
    HostAddress address;
    KeyFingerprint key;
  };
  virtual ~PairedHosts() = default;
  virtual std::optional<Host> find(const std::string& name) const = 0;
  virtual std::optional<std::string> name_of(const KeyFingerprint& key) const = 0;
};

/// Where somebody comes who wants to be paired, whose key nobody knows yet. Thread-safe.
class PairingDesk {
 public:
  virtual ~PairingDesk() = default;
  /// Whether anybody is expected; if not, strangers do not get past the first message of TLS.
  virtual bool expects_somebody() const = 0;
  /// All of it, on the thread that calls. `address`: where it comes from. An error is why it was not paired,
  /// which it was told as far as the link allowed.
  virtual Result<> receive(TlsStream stream, const std::string& address, MonotonicTime deadline) = 0;
};

}  // namespace vmigrate::peer
