#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace vmigrate::trust {

/// Eight random decimal digits: one guess in 100,000,000 is right.
std::string new_pairing_code();
/// "1234-5678", for people.
std::string for_people(const std::string& code);
/// What somebody has typed, with or without blanks and hyphens.
Result<std::string> parse_pairing_code(std::string_view text);

}  // namespace vmigrate::trust
