#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <toml++/toml.h>

#include "base/error.hpp"

namespace vmigrate::daemon {

/// One key of a section: its name, and how its value is checked and taken over.
struct TomlKey {
  std::string name;
  std::function<Result<>(const toml::node&)> read;
};

/// Takes a table's values over. An unknown key is an error with its place, the nearest known one and all of
/// them. `section` is how messages call the table: "[listen]".
Result<> read_table(const toml::table& table, const std::string& section, const std::vector<TomlKey>& keys);

/// An error about this place in the file: "file:line: message".
tl::unexpected<Error> fail_at(const toml::source_region& place, std::string_view message,
                              std::string hint = {});

// Readers for TomlKey.
std::function<Result<>(const toml::node&)> into_string(std::string* target);
/// Not empty, and beginning with "/".
std::function<Result<>(const toml::node&)> into_path(std::string* target);
/// Empty, or beginning with "/".
std::function<Result<>(const toml::node&)> into_path_or_nothing(std::string* target);
std::function<Result<>(const toml::node&)> into_port(std::uint16_t* target);
/// A string that `parse` makes sense of; its errors get their place.
std::function<Result<>(const toml::node&)> parsed(std::function<Result<>(const std::string&)> parse);
/// A list of strings, each of which `check` makes sense of.
std::function<Result<>(const toml::node&)> into_list(std::vector<std::string>* target,
                                                     std::function<Result<>(const std::string&)> check);
/// Any number of tables of the same name.
std::function<Result<>(const toml::node&)> each_table(std::string section,
                                                      std::function<Result<>(const toml::table&)> read);
/// A table of its own.
std::function<Result<>(const toml::node&)> into_table(std::string section,
                                                      std::function<Result<>(const toml::table&)> read);

}  // namespace vmigrate::daemon
