#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "daemon/configuration.hpp"
#include "peer/credentials.hpp"

namespace vmigrate::daemon {

/// What this host shows to the others, as the files are now; a daemon that has been running for a while may
/// still use older ones.
struct CertificateReport {
  std::vector<std::string> names;  ///< DNS subject alternative names: the hosts that it is for
  /// When it, or the authority's above it, stops being valid; whichever is first.
  std::chrono::system_clock::time_point expires;
  /// Why other hosts would turn it down; empty when they would not.
  std::string rejected_because{};
};

/// Those that [tls] names, or the ones that this daemon has made for itself.
peer::CredentialFiles credential_files(const Configuration& configuration);

/// An error when the files cannot be used at all: unreadable, no PEM, a key that belongs to another
/// certificate.
Result<CertificateReport> examine_certificate(const peer::CredentialFiles& files);

}  // namespace vmigrate::daemon
