#include "daemon/toml_reader.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace vmigrate::daemon {
namespace {

/// Levenshtein's distance: how many letters have to be changed, added or left out.
std::size_t distance(std::string_view left, std::string_view right) {
  std::vector<std::size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < left.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < right.size(); ++j) {
      const std::size_t changed = diagonal + (left[i] == right[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

/// "did you mean port? " when one is near, else nothing.
std::string guess(std::string_view name, const std::vector<TomlKey>& keys) {
  const auto nearest =
      std::ranges::min_element(keys, {}, [&](const TomlKey& key) { return distance(name, key.name); });
  if (nearest == keys.end() || distance(name, nearest->name) > std::max<std::size_t>(2, name.size() / 3))
    return {};
  return fmt::format("did you mean {}? ", nearest->name);
}

std::string names(const std::vector<TomlKey>& keys) {
  std::vector<std::string_view> all;
  all.reserve(keys.size());
  for (const auto& key : keys) all.push_back(key.name);
  return fmt::format("{}", fmt::join(all, ", "));
}

const char* type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a section";
    case toml::node_type::array: return "a list";
    case toml::node_type::string: return "text";
    case toml::node_type::integer: return "a number";
    case toml::node_type::floating_point: return "a fraction";
    case toml::node_type::boolean: return "true or false";
    default: return "a date or time";
  }
}

tl::unexpected<Error> wrong_type(const toml::node& node, std::string_view wanted, std::string hint) {
  return fail_at(node.source(), fmt::format("this is {}, not {}", type_name(node), wanted), std::move(hint));
}

}  // namespace

tl::unexpected<Error> fail_at(const toml::source_region& place, std::string_view message, std::string hint) {
  return fail(ErrorCode::usage,
              fmt::format("{}:{}: {}", place.path ? *place.path : "configuration", place.begin.line, message),
              std::move(hint));
}

Result<> read_table(const toml::table& table, const std::string& section, const std::vector<TomlKey>& keys) {
  for (const auto& [name, node] : table) {
    const auto known = std::ranges::find(keys, name.str(), &TomlKey::name);
    if (known == keys.end()) {
      return fail_at(name.source(), fmt::format("{} has no option '{}'", section, name.str()),
                     fmt::format("{}{} has {}", guess(name.str(), keys), section, names(keys)));
    }
    if (auto read = known->read(node); !read) return read;
  }
  return {};
}

std::function<Result<>(const toml::node&)> parsed(std::function<Result<>(const std::string&)> parse) {
  return [parse = std::move(parse)](const toml::node& node) -> Result<> {
    const auto text = node.value_exact<std::string>();
    if (!text) return wrong_type(node, "text", "put it in quotes");
    if (auto result = parse(*text); !result) {
      return fail_at(node.source(), result.error().message, result.error().hint);
    }
    return {};
  };
}

std::function<Result<>(const toml::node&)> into_string(std::string* target) {
  return parsed([target](const std::string& text) -> Result<> {
    *target = text;
    return {};
  });
}

std::function<Result<>(const toml::node&)> into_path(std::string* target) {
  return parsed([target](const std::string& text) -> Result<> {
    if (!text.starts_with('/')) {
      return fail(ErrorCode::usage, fmt::format("'{}' is not an absolute path", text), "begin it with /");
    }
    *target = text;
    return {};
  });
}

std::function<Result<>(const toml::node&)> into_path_or_nothing(std::string* target) {
  return [target](const toml::node& node) -> Result<> {
    if (node.value_exact<std::string>() != "") return into_path(target)(node);
    target->clear();
    return {};
  };
}

std::function<Result<>(const toml::node&)> into_port(std::uint16_t* target) {
  return [target](const toml::node& node) -> Result<> {
    const auto number = node.value_exact<std::int64_t>();
    if (!number) return wrong_type(node, "a number", "write it without quotes, like 16510");
    if (*number < 1 || *number > 65535) {
      return fail_at(node.source(), fmt::format("{} is not a port", *number), "ports are 1 to 65535");
    }
    *target = static_cast<std::uint16_t>(*number);
    return {};
  };
}

std::function<Result<>(const toml::node&)> into_list(std::vector<std::string>* target,
                                                     std::function<Result<>(const std::string&)> check) {
  return [target, check = std::move(check)](const toml::node& node) -> Result<> {
    const auto* list = node.as_array();
    if (list == nullptr) return wrong_type(node, "a list", "write it like [\"one\", \"another\"]");
    target->clear();
    for (const auto& element : *list) {
      const auto read = parsed([&](const std::string& text) -> Result<> {
        target->push_back(text);
        return check(text);
      })(element);
      if (!read) return read;
    }
    return {};
  };
}

std::function<Result<>(const toml::node&)> each_table(std::string section,
                                                      std::function<Result<>(const toml::table&)> read) {
  return [section = std::move(section), read = std::move(read)](const toml::node& node) -> Result<> {
    const auto* list = node.as_array();
    if (list == nullptr || !list->is_homogeneous<toml::table>())
      return wrong_type(node, "a section of which there may be several",
                        fmt::format("write {} on a line of its own, its options below", section));
    for (const auto& element : *list) {
      if (auto done = read(*element.as_table()); !done) return done;
    }
    return {};
  };
}

std::function<Result<>(const toml::node&)> into_table(std::string section,
                                                      std::function<Result<>(const toml::table&)> read) {
  return [section = std::move(section), read = std::move(read)](const toml::node& node) -> Result<> {
    const auto* table = node.as_table();
    if (table == nullptr) {
      return wrong_type(node, "a section",
                        fmt::format("write {} on a line of its own, its options below", section));
    }
    return read(*table);
  };
}

}  // namespace vmigrate::daemon
