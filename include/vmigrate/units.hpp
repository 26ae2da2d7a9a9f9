#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "vmigrate/error.hpp"

namespace vmigrate {

using Milliseconds = std::chrono::milliseconds;

/// A number of bytes.
struct Bytes {
  std::uint64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
};
constexpr Bytes operator+(Bytes left, Bytes right) {
  return {left.count + right.count};
}

/// Bytes a second. Zero means "no limit" where a limit is asked for.
struct Rate {
  std::uint64_t bytes_per_second = 0;
  auto operator<=>(const Rate&) const = default;
};

/// Of a hundred.
struct Percent {
  std::uint32_t count = 0;
  auto operator<=>(const Percent&) const = default;
};

/// "4096 B", "1.5 MiB", "12 GiB": binary units, at most three digits.
std::string to_string(Bytes bytes);
/// "118 MB/s": decimal units, as networks are quoted.
std::string to_string(Rate rate);
/// "18 ms", "1.4 s", "3 min 20 s".
std::string to_string(Milliseconds duration);
/// "30%"
std::string to_string(Percent percent);

// What is no such text is a usage error that says what would be one.

/// "300ms", "2s", "1.5s", "10m", "1h"; a bare number is refused, since nobody knows its unit.
Result<Milliseconds> parse_duration(std::string_view text);
/// "2Gbit", "100Mbit", "250MB", "1GiB": bits or bytes a second, "/s" allowed; a bare number is refused.
Result<Rate> parse_rate(std::string_view text);
/// "64MiB", "1GB"
Result<Bytes> parse_bytes(std::string_view text);
/// "30%": a whole number up to 100; a bare number is refused.
Result<Percent> parse_percent(std::string_view text);

}  // namespace vmigrate
