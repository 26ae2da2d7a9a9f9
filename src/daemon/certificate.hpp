#pragma once

#include <chrono>
#include <string>

#include "base/error.hpp"

namespace vmigrate::daemon {

/// When the certificate in a PEM file stops being valid.
Result<std::chrono::system_clock::time_point> certificate_expiry(const std::string& path);

}  // namespace vmigrate::daemon
