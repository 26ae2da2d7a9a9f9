#include "cli/since.hpp"

#include <charconv>
#include <ctime>
#include <iomanip>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "base/units.hpp"

namespace vmigrate::cli {
namespace {

using Time = std::chrono::system_clock::time_point;

std::optional<std::chrono::system_clock::duration> ago(const std::string& text) {
  if (!text.ends_with('d')) {
    const auto duration = parse_duration(text);
    return duration ? std::optional<std::chrono::system_clock::duration>(*duration) : std::nullopt;
  }
  // Longer than any trail.
  constexpr unsigned most = 36'500;
  unsigned days = 0;
  const char* end = text.data() + text.size() - 1;
  const auto [rest, error] = std::from_chars(text.data(), end, days);
  if (error != std::errc{} || rest != end || days > most) return std::nullopt;
  return std::chrono::days(days);
}

std::optional<Time> moment(const std::string& text) {
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"}) {
    std::istringstream stream(text);
    std::tm parts{};
    stream >> std::get_time(&parts, format);
    if (stream.fail() || stream.peek() != std::istringstream::traits_type::eof()) continue;
    // Whether the clock was put forward then is for the system to know. A day that no month has is none.
    const std::tm asked = parts;
    parts.tm_isdst = -1;
    const std::time_t time = std::mktime(&parts);
    if (time == -1 || parts.tm_mday != asked.tm_mday) return std::nullopt;
    return std::chrono::system_clock::from_time_t(time);
  }
  return std::nullopt;
}

}  // namespace

Result<Time> parse_since(const std::string& text, Time now) {
  if (const auto duration = ago(text)) return now - *duration;
  if (const auto time = moment(text)) return *time;
  return fail(ErrorCode::usage, fmt::format("'{}' is no moment", text),
              "write it like 30m, 12h, 7d, 2026-11-25 or '2026-11-25 18:00'");
}

}  // namespace vmigrate::cli
