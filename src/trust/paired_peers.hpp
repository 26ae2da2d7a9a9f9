#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "peer/trust.hpp"

namespace vmigrate::trust {

/// A host that this one was paired with.
struct PairedPeer {
  std::string name;
  peer::HostAddress address;
  peer::KeyFingerprint key;
  std::uint64_t paired_unix_ms = 0;
  std::string paired_by{};  ///< "root (uid 0)"
};

/// The hosts that this one was paired with, in a file that survives everything. Thread-safe.
class PairedPeers : public peer::PairedHosts {
 public:
  /// A file that is not there is one without peers; one that cannot be understood is an error.
  static Result<std::shared_ptr<PairedPeers>> open(const std::string& path);

  /// In place of what was known of a host of that name. Refused when another has the key. Durable.
  Result<> add(PairedPeer peer);
  /// False when there was none. Durable.
  Result<bool> remove(const std::string& name);
  std::vector<PairedPeer> list() const;

  std::optional<Host> find(const std::string& name) const override;
  std::optional<std::string> name_of(const peer::KeyFingerprint& key) const override;

 private:
  using Peers = std::map<std::string, PairedPeer>;
  PairedPeers(std::string path, Peers peers) : path_(std::move(path)), peers_(std::move(peers)) {}
  /// Writes them, and takes them over when that has worked.
  Result<> replace(Peers peers);

  const std::string path_;
  mutable std::mutex mutex_;
  Peers peers_;
};

}  // namespace vmigrate::trust
