#include "base/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

#include <fmt/format.h>

namespace vmigrate {
namespace {

std::string scaled(double value, double step, std::span<const std::string_view> units) {
  std::size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  const int digits = unit == 0 || value >= 100 ? 0 : 1;
  return fmt::format("{:.{}f} {}", value, digits, units[unit]);
}

struct Unit {
  std::string_view name;
  double factor;
};

Result<double> parse_scaled(std::string_view text, std::span<const Unit> units, std::string_view example) {
  double number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view name(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  if (error == std::errc{} && std::isfinite(number) && number >= 0) {
    for (const Unit& unit : units) {
      if (unit.name == name && number * unit.factor < 1e18) return number * unit.factor;
    }
  }
  return fail(ErrorCode::usage, fmt::format("'{}' is not a number with a unit", text),
              fmt::format("write it like {}", example));
}

}  // namespace

std::string to_string(Bytes bytes) {
  static constexpr std::array<std::string_view, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  return scaled(static_cast<double>(bytes.count), 1024, kUnits);
}

std::string to_string(Rate rate) {
  static constexpr std::array<std::string_view, 4> kUnits{"B/s", "kB/s", "MB/s", "GB/s"};
  return scaled(static_cast<double>(rate.bytes_per_second), 1000, kUnits);
}

std::string to_string(Milliseconds duration) {
  const auto count = duration.count();
  if (count < 1000) return fmt::format("{} ms", count);
  const auto seconds = static_cast<double>(count) / 1000;
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string to_string(Percent percent) {
  return fmt::format("{}%", percent.count);
}

Result<Milliseconds> parse_duration(std::string_view text) {
  static constexpr std::array<Unit, 5> kUnits{
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"min", 60'000}, {"h", 3'600'000}}};
  return parse_scaled(text, kUnits, "300ms, 2s or 10m").map([](double value) {
    return Milliseconds(std::llround(value));
  });
}

Result<Bytes> parse_bytes(std::string_view text) {
  static constexpr std::array<Unit, 6> kUnits{
      {{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"KiB", 1024}, {"MiB", 1048576}, {"GiB", 1073741824}}};
  return parse_scaled(text, kUnits, "64MiB or 1GB").map([](double value) {
    return Bytes{static_cast<std::uint64_t>(std::llround(value))};
  });
}

Result<Percent> parse_percent(std::string_view text) {
  constexpr std::uint32_t whole = 100;
  Percent percent;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, percent.count);
  if (error == std::errc{} && std::string_view(rest, static_cast<std::size_t>(end - rest)) == "%" &&
      percent.count <= whole)
    return percent;
  return fail(ErrorCode::usage, fmt::format("'{}' is not a percentage", text), "write it like 30%");
}

Result<Rate> parse_rate(std::string_view text) {
  if (text.ends_with("/s")) text.remove_suffix(2);
  static constexpr std::array<Unit, 11> kUnits{{{"bit", 0.125},
                                                {"kbit", 125},
                                                {"Kbit", 125},
                                                {"Mbit", 125e3},
                                                {"Gbit", 125e6},
                                                {"kB", 1e3},
                                                {"MB", 1e6},
                                                {"GB", 1e9},
                                                {"KiB", 1024},
                                                {"MiB", 1048576},
                                                {"GiB", 1073741824}}};
  return parse_scaled(text, kUnits, "2Gbit, 100Mbit or 250MB").map([](double value) {
    return Rate{static_cast<std::uint64_t>(std::llround(value))};
  });
}

}  // namespace vmigrate
