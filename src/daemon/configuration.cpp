#include "daemon/configuration.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>
#include <optional>
#include <system_error>

#include <fmt/format.h>
#include <unistd.h>

#include "daemon/toml_reader.hpp"

namespace vmigrate::daemon {
namespace {

/// Longer pauses are no live migration, and would not fit where they are counted in milliseconds.
constexpr Bytes kLeastMemory{std::uint64_t{64} << 20};
constexpr Bytes kMostMemory{std::uint64_t{2} << 30};
constexpr Milliseconds kLongestPause = std::chrono::minutes(30);  // QEMU takes 2,000 s at most
/// Whoever waits longer had better begin anew.
constexpr Milliseconds kLongestWindow = std::chrono::hours(1);

using Peer = Configuration::Peer;

std::string system_host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "localhost";
  return name.data();
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

Result<> check_log_level(const std::string& level) {
  static constexpr std::array<std::string_view, 7> kLevels{"trace", "debug",    "info", "warning",
                                                           "error", "critical", "off"};
  if (std::ranges::find(kLevels, level) != kLevels.end()) return {};
  return fail(ErrorCode::usage, fmt::format("'{}' is not a log level", level),
              "use one of trace, debug, info, warning, error, critical, off");
}

Result<> read_yes_or_no(const std::string& text, bool* target) {
  if (text != "yes" && text != "no")
    return fail(ErrorCode::usage, fmt::format("'{}' is neither yes nor no", text), "write \"yes\" or \"no\"");
  *target = text == "yes";
  return {};
}

Result<> read_max_pause(const std::string& text, Milliseconds* target) {
  const auto pause = parse_duration(text);
  if (!pause) return fail(pause.error());
  if (*pause < Milliseconds(1) || *pause > kLongestPause) {
    return fail(ErrorCode::usage, fmt::format("a pause of {} is not possible", text), "1ms to 30min is");
  }
  *target = *pause;
  return {};
}

Result<> read_window(const std::string& text, Milliseconds* target) {
  const auto window = parse_duration(text);
  if (!window) return fail(window.error());
  if (*window > kLongestWindow) {
    return fail(ErrorCode::usage, fmt::format("to wait {} for a lost link is not possible", text),
                "0s to 60min is");
  }
  *target = *window;
  return {};
}

Result<> read_bandwidth(const std::string& text, Rate* target) {
  if (text.empty()) return {};
  const auto rate = parse_rate(text);
  if (!rate) return fail(rate.error());
  if (rate->bytes_per_second == 0) {
    return fail(ErrorCode::usage, "with a bandwidth of 0 nothing would move", "for no limit write \"\"");
  }
  *target = *rate;
  return {};
}

Result<> read_memory(const std::string& text, Bytes* target) {
  const auto memory = parse_bytes(text);
  if (!memory) return fail(memory.error());
  if (*memory < kLeastMemory || *memory > kMostMemory) {
    return fail(ErrorCode::usage, fmt::format("{} for a migration is not possible", text),
                "64MiB to 2GiB is");
  }
  *target = *memory;
  return {};
}

Result<> anything(const std::string& /*text*/) {
  return {};
}

/// [allow]: a list for each verb.
Result<> read_access_rules(const toml::table& table, trust::AccessRules* rules) {
  using trust::Verb;
  std::vector<TomlKey> keys;
  for (const auto verb : {Verb::watch, Verb::check, Verb::start, Verb::cancel, Verb::resolve, Verb::pair}) {
    keys.push_back({std::string(to_string(verb)), [rules, verb](const toml::node& node) {
                      std::vector<std::string> who;
                      auto read = into_list(&who, [](const std::string& text) -> Result<> {
                        if (!text.empty() && text != "@") return {};
                        return fail(ErrorCode::usage, "nobody is called that",
                                    "write a user, a group with @ in front, or \"*\" for everybody");
                      })(node);
                      rules->allow(verb, std::move(who));
                      return read;
                    }});
  }
  return read_table(table, "[allow]", keys);
}

/// [[send]] and [[receive]].
Result<> read_move_rule(const toml::table& table, const std::string& section, trust::MoveRules* rules) {
  trust::MoveRule rule;
  auto read = read_table(table, section,
                         {{"vm", into_string(&rule.vm)}, {"hosts", into_list(&rule.hosts, anything)}});
  rules->add(std::move(rule));
  return read;
}

TomlKey move_rules(const std::string& name, trust::MoveRules* rules) {
  const std::string title = fmt::format("[[{}]]", name);
  return {name, each_table(title, [title, rules](const toml::table& table) {
            return read_move_rule(table, title, rules);
          })};
}

Result<> read_peer(const std::string& section, const toml::table& table, Peer* peer) {
  auto read = read_table(table, section, {{"address", parsed([&](const std::string& text) -> Result<> {
                                             auto parsed_peer = parse_peer(text);
                                             if (!parsed_peer) return fail(parsed_peer.error());
                                             *peer = std::move(*parsed_peer);
                                             return {};
                                           })}});
  if (!read) return read;
  if (peer->address.empty()) {
    return fail_at(table.source(), fmt::format("{} has no address", section),
                   "add a line like: address = \"10.0.0.2\"");
  }
  return {};
}

Result<> read_peers(const toml::table& table, std::map<std::string, Peer>* peers) {
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    if (auto good = check_host_name(name); !good) {
      return fail_at(key.source(), good.error().message, good.error().hint);
    }
    const std::string section = fmt::format("[peers.{}]", name);
    auto read = into_table(
        section, [&](const toml::table& peer) { return read_peer(section, peer, &(*peers)[name]); })(node);
    if (!read) return read;
  }
  return {};
}

/// A section of the file, by its name and keys.
TomlKey section(const std::string& name, std::vector<TomlKey> keys) {
  const std::string title = fmt::format("[{}]", name);
  return {name, into_table(title, [title, keys = std::move(keys)](const toml::table& table) {
            return read_table(table, title, keys);
          })};
}

/// Everything that may stand in the file.
std::vector<TomlKey> schema(Configuration* to) {
  return {
      section("host", {{"name", parsed([to](const std::string& text) {
                          to->host.name = text;
                          return check_host_name(text);
                        })}}),
      section("listen",
              {{"address", into_string(&to->listen.address)}, {"port", into_port(&to->listen.port)}}),
      section("tls", {{"certificate", into_path_or_nothing(&to->tls.certificate)},
                      {"key", into_path_or_nothing(&to->tls.key)},
                      {"ca", into_path_or_nothing(&to->tls.ca)}}),
      section("paths", {{"control_socket", into_path(&to->paths.control_socket)},
                        {"vmm_socket", into_path(&to->paths.vmm_socket)},
                        {"runtime", into_path(&to->paths.runtime)},
                        {"state", into_path(&to->paths.state)}}),
      section("control", {{"group", into_string(&to->control.group)}}),
      {"allow", into_table("[allow]",
                           [to](const toml::table& table) { return read_access_rules(table, &to->allow); })},
      move_rules("send", &to->send),
      move_rules("receive", &to->receive),
      section("hypervisor", {{"libvirt", parsed([to](const std::string& text) {
                                return read_yes_or_no(text, &to->hypervisor.libvirt);
                              })},
                             {"rpc_socket", into_string(&to->hypervisor.rpc_socket)},
                             {"lossy_emulation", parsed([to](const std::string& text) {
                                return read_yes_or_no(text, &to->hypervisor.lossy_emulation);
                              })}}),
      section("migration", {{"max_pause", parsed([to](const std::string& text) {
                               return read_max_pause(text, &to->migration.max_pause);
                             })},
                            {"bandwidth", parsed([to](const std::string& text) {
                               return read_bandwidth(text, &to->migration.bandwidth);
                             })},
                            {"memory", parsed([to](const std::string& text) {
                               return read_memory(text, &to->migration.memory);
                             })},
                            {"reconnect_window", parsed([to](const std::string& text) {
                               return read_window(text, &to->migration.reconnect_window);
                             })},
                            {"stopped_window", parsed([to](const std::string& text) {
                               return read_window(text, &to->migration.stopped_window);
                             })}}),
      section("log", {{"level", parsed([to](const std::string& text) {
                         to->log.level = text;
                         return check_log_level(text);
                       })}}),
      {"peers",
       into_table("[peers.NAME]", [to](const toml::table& table) { return read_peers(table, &to->peers); })},
  };
}

/// Where both have to be said, or neither.
Result<> check_tls(const Configuration& configuration, const std::string& file) {
  const auto& tls = configuration.tls;
  const auto incomplete = [&](const char* what) {
    return fail(
        ErrorCode::usage, fmt::format("{}: [tls] has {}", file, what),
        "certificate, key and ca belong together; without all three migrated makes a certificate of its "
        "own, and hosts are paired: vmigrate pair");
  };
  if (tls.certificate.empty() != tls.key.empty())
    return incomplete("a certificate or a key without the other");
  if (!tls.ca.empty() && tls.certificate.empty())
    return incomplete("an authority, but no certificate for this host");
  return {};
}

}  // namespace

Result<> check_host_name(const std::string& name) {
  const auto fits = [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '-' || letter == '.' || letter == '_';
  };
  if (name.empty() || name.size() > 253 || !std::ranges::all_of(name, fits)) {
    return fail(ErrorCode::usage, fmt::format("'{}' is not a host name", name),
                "letters, digits, '-', '.' and '_' are possible, up to 253 of them");
  }
  return {};
}

Result<Configuration::Peer> parse_peer(const std::string& text) {
  const auto nonsense = [&] {
    return fail(ErrorCode::usage, fmt::format("'{}' is not an address", text),
                "write it like 10.0.0.2, hostb.example.org:16510 or [fd00::2]:16510");
  };
  Peer peer;
  std::string_view port;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string::npos) return nonsense();
    peer.host = text.substr(1, end - 1);
    port = std::string_view(text).substr(end + 1);
  } else if (std::ranges::count(text, ':') > 1) {
    peer.host = text;
  } else {
    peer.host = text.substr(0, text.find(':'));
    port = std::string_view(text).substr(peer.host.size());
  }
  if (!port.empty()) {
    const auto number = port.starts_with(':') ? parse_port(port.substr(1)) : std::nullopt;
    if (!number) return nonsense();
    peer.port = *number;
  }
  if (peer.host.empty() || peer.host.find_first_of(" /\t[]@") != std::string::npos) return nonsense();
  const bool version_6 = peer.host.find(':') != std::string::npos;
  peer.address = fmt::format("{}{}{}:{}", version_6 ? "[" : "", peer.host, version_6 ? "]" : "", peer.port);
  return peer;
}

Result<Configuration> parse_configuration(std::string_view text, const std::string& file) {
  Configuration configuration;
  configuration.host.name = system_host_name();
  try {
    const toml::table table = toml::parse(text, file);
    if (auto read = read_table(table, "migrated.toml", schema(&configuration)); !read)
      return fail(read.error());
  } catch (const toml::parse_error& error) {
    return fail_at(error.source(), error.description(), "see migrated.toml(5) for how it is written");
  }
  if (auto checked = check_tls(configuration, file); !checked) return fail(checked.error());
  configuration.peers.erase(configuration.host.name);
  return configuration;
}

Result<Configuration> load_configuration(const std::string& path) {
  const auto unreadable = [&](const std::string& why) {
    return fail(ErrorCode::failed, fmt::format("cannot read the configuration {}: {}", path, why),
                "migrated.toml(5) explains what belongs there");
  };
  std::ifstream file(path);
  if (!file) return unreadable(std::generic_category().message(errno));
  std::string text;
  try {
    text.assign(std::istreambuf_iterator<char>(file), {});
  } catch (const std::ios_base::failure& error) {
    return unreadable(error.code().message());
  }
  return parse_configuration(text, path);
}

}  // namespace vmigrate::daemon
