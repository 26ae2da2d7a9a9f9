#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace vmigrate::trust {

/// Puts a file of this content in place of what was there, mode 0600: after a crash, or a loss of power,
/// there is the one or the other, and once this has returned the new one.
Result<> write_durably(const std::string& path, std::string_view content);

}  // namespace vmigrate::trust
