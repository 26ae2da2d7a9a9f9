#include "trust/paired_peers.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <sstream>
#include <system_error>

#include <fmt/format.h>
#include <toml++/toml.h>

#include "trust/durable_file.hpp"

namespace vmigrate::trust {
namespace {

constexpr std::size_t kFingerprintDigits = 64;
constexpr std::size_t kMostPeers = 1024;

tl::unexpected<Error> damaged(const std::string& path, std::string_view what) {
  return fail(ErrorCode::failed, fmt::format("{}: {}", path, what),
              "restore it from a backup; if it is lost, remove it and pair this host anew with all others");
}

bool is_fingerprint(const std::string& digits) {
  return digits.size() == kFingerprintDigits &&
         digits.find_first_not_of("0123456789abcdef") == std::string::npos;
}

toml::table to_table(const PairedPeer& peer) {
  return toml::table{{"host", peer.address.host},
                     {"port", static_cast<std::int64_t>(peer.address.port)},
                     {"key", peer.key.digits},
                     {"paired_unix_ms", static_cast<std::int64_t>(peer.paired_unix_ms)},
                     {"paired_by", peer.paired_by}};
}

Result<PairedPeer> from_table(const std::string& path, const std::string& name, const toml::node& node) {
  const auto* table = node.as_table();
  if (table == nullptr) return damaged(path, fmt::format("{} is no peer", name));
  PairedPeer peer{name, {}, {}};
  peer.address.host = table->at_path("host").value_or(std::string());
  const auto port = table->at_path("port").value_or(std::int64_t{0});
  peer.key.digits = table->at_path("key").value_or(std::string());
  peer.paired_unix_ms =
      static_cast<std::uint64_t>(table->at_path("paired_unix_ms").value_or(std::int64_t{0}));
  peer.paired_by = table->at_path("paired_by").value_or(std::string());
  if (peer.address.host.empty() || port < 1 || port > UINT16_MAX || !is_fingerprint(peer.key.digits))
    return damaged(path, fmt::format("{} lacks its address or its key", name));
  peer.address.port = static_cast<std::uint16_t>(port);
  return peer;
}

}  // namespace

Result<std::shared_ptr<PairedPeers>> PairedPeers::open(const std::string& path) {
  std::error_code error;
  Peers peers;
  if (std::filesystem::exists(path, error)) {
    try {
      for (const auto& [key, node] : toml::parse_file(path)) {
        auto peer = from_table(path, std::string(key.str()), node);
        if (!peer) return fail(peer.error());
        peers.emplace(peer->name, std::move(*peer));
      }
    } catch (const toml::parse_error& broken) {
      return damaged(path, broken.description());
    }
  } else if (error) {
    return damaged(path, error.message());
  }
  return std::shared_ptr<PairedPeers>(new PairedPeers(path, std::move(peers)));
}

Result<> PairedPeers::add(PairedPeer peer) {
  const std::lock_guard lock(mutex_);
  const auto other = std::ranges::find_if(
      peers_, [&](const auto& entry) { return entry.second.key == peer.key && entry.first != peer.name; });
  if (other != peers_.end()) {
    return fail(ErrorCode::refused, fmt::format("{} is paired already, as {}", peer.name, other->first),
                fmt::format("vmigrate peers remove {}, if it is called {} now", other->first, peer.name));
  }
  if (!peers_.contains(peer.name) && peers_.size() >= kMostPeers)
    return fail(ErrorCode::refused, fmt::format("{} hosts are paired already", peers_.size()));
  Peers peers = peers_;
  peers.insert_or_assign(peer.name, std::move(peer));
  return replace(std::move(peers));
}

Result<bool> PairedPeers::remove(const std::string& name) {
  const std::lock_guard lock(mutex_);
  Peers peers = peers_;
  if (peers.erase(name) == 0) return false;
  if (auto replaced = replace(std::move(peers)); !replaced) return fail(replaced.error());
  return true;
}

Result<> PairedPeers::replace(Peers peers) {
  std::ostringstream text;
  text << "# The hosts that this one was paired with; written by migrated: vmigrate pair, vmigrate peers\n";
  toml::table table;
  for (const auto& [name, peer] : peers) table.insert(name, to_table(peer));
  text << table << "\n";
  if (auto written = write_durably(path_, text.str()); !written) return written;
  peers_ = std::move(peers);
  return {};
}

std::vector<PairedPeer> PairedPeers::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<PairedPeer> all;
  for (const auto& [name, peer] : peers_) all.push_back(peer);
  return all;
}

std::optional<peer::PairedHosts::Host> PairedPeers::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(name);
  if (found == peers_.end()) return std::nullopt;
  return Host{found->second.address, found->second.key};
}

std::optional<std::string> PairedPeers::name_of(const peer::KeyFingerprint& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(peers_, [&](const auto& entry) { return entry.second.key == key; });
  if (found == peers_.end()) return std::nullopt;
  return found->first;
}

}  // namespace vmigrate::trust
