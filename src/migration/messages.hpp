#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "audit/entry.hpp"
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "handover/outcome.hpp"
#include "hypervisor/domain.hpp"

/// What the two daemons say to each other on the control lane; proto/vmigrate/migration.proto specifies it.
namespace vmigrate::migration {

struct Offer {
  MigrationId migration;
  bool check_only = false;
  std::string runtime_directory;
  std::string source_host;
  hypervisor::DomainDescription domain;
  std::optional<audit::Head> audit_head{};  ///< of the source's trail
};

/// No findings: accepted, and the reservation is durable at the destination (unless the offer was
/// check_only).
struct OfferAnswer {
  std::string destination_host;
  std::vector<hypervisor::Finding> findings;
  Bytes memory{};  ///< what the source may make the destination keep, to make the VM's memory smaller on its
                   ///< way
  std::optional<audit::Head> audit_head{};  ///< of the destination's trail, once it has accepted
};

struct Abort {
  std::string reason;
};

/// What both hosts must have seen of QEMU's stream, all of it.
struct StreamDigest {
  std::uint64_t bytes = 0;
  ByteBuffer checksum;  ///< XXH3-128, 16 bytes, canonical byte order
  bool operator==(const StreamDigest&) const = default;
};

struct KnownAddresses {
  std::string mac;
  std::vector<std::string> addresses;
};

struct Finish {
  MigrationId migration;
  ByteBuffer call;
  StreamDigest digest;
  std::vector<KnownAddresses> addresses;
};

struct AnnouncedInterface {
  std::string mac;
  std::uint32_t frames = 0;
  std::vector<std::string> addresses;
  std::string problem;  ///< why it was not announced; empty when it was
};

struct Verdict {
  MigrationId migration;
  handover::Outcome outcome = handover::Outcome::unknown;
  std::string reason;
  ByteBuffer answer;                       ///< the hypervisor's own answer to Finish, where there is one
  std::uint64_t arrival_microseconds = 0;  ///< from Finish until all of the memory stream was there, too
  std::uint64_t load_microseconds = 0;     ///< from then on
  std::uint64_t start_microseconds = 0;
  std::vector<AnnouncedInterface> announcements;
};

struct Ask {
  MigrationId migration;
  bool taken_back = false;  ///< the VM is the source's again, whatever comes
};

struct Confirmed {
  MigrationId migration;
};

struct Ping {
  std::string version;
};

/// What a source that understands Taken calls itself capable of; no other is told.
inline constexpr std::string_view kTakenFeature = "taken";

/// How much of QEMU's stream the hypervisor at the destination has taken, from its beginning on.
struct Taken {
  std::uint64_t stream_bytes = 0;
};

/// What has the other host noted of this one's audit trail?
struct AskHeads {
  std::optional<audit::Head> audit_head;  ///< to be noted there, too
};

struct Heads {
  std::vector<audit::Head> heads;
};

using ControlMessage =
    std::variant<Offer, OfferAnswer, Abort, Finish, Verdict, Ask, Confirmed, Ping, AskHeads, Heads, Taken>;

ByteBuffer encode(const ControlMessage& message);
/// Refuses what does not parse, lacks what it needs or exceeds a limit. The peer is not trusted to be sane.
Result<ControlMessage> decode(ByteView bytes);

}  // namespace vmigrate::migration
