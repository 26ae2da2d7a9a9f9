#pragma once

#include <chrono>
#include <string>

#include "base/error.hpp"

namespace vmigrate::cli {

/// The moment that a user means: "30m", "12h" or "7d" before `now`, or "2026-11-25", "2026-11-25 18:00",
/// "2026-11-25 18:00:30" in local time.
Result<std::chrono::system_clock::time_point> parse_since(const std::string& text,
                                                          std::chrono::system_clock::time_point now);

}  // namespace vmigrate::cli
