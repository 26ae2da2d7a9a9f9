#pragma once

#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "peer/credentials.hpp"

namespace vmigrate::trust {

/// Where this host's own key and certificate are, below the state folder.
peer::CredentialFiles own_identity_files(const std::string& state_folder);

/// This host's own key, and a certificate of that key that it has signed itself. What there is not is made;
/// a certificate that ends within a year, or is for another name, is made anew for the same key, so that
/// whoever is paired with this host stays so. A key that is there and cannot be read is an error: another
/// would be that of a stranger.
Result<peer::CredentialFiles> ensure_own_identity(const std::string& state_folder, const std::string& host,
                                                  std::chrono::system_clock::time_point now);

}  // namespace vmigrate::trust
