#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "hypervisor/hypervisor.hpp"
#include "hypervisor/rpc_message.hpp"

/// What may pass between the libvirt client at the source and the libvirtd at the destination. Pure: messages
/// in, decisions out.
namespace vmigrate::hypervisor {

/// The one move that a pair of gates is about.
struct GateScope {
  VmId vm;
  std::string name;
  std::string emulator;  ///< the only program that the arriving definition may start; empty: not checked
  std::string migration_uri;
};

/// At the destination, between the peer and this host's libvirtd. The peer is not trusted: only the calls of
/// one migration of one VM get through, and libvirt is never asked to start the vCPUs.
class DestinationGate {
 public:
  explicit DestinationGate(GateScope scope) : scope_(std::move(scope)) {}

  /// A call from the peer. Success: give it to libvirtd. An error is the answer to send back (see refuse()).
  Result<> admit(ByteView message);
  /// A Finish, which comes by another way than the rest. Success: what to give to libvirtd.
  Result<ByteBuffer> admit_finish(const FinishCall& call);

  enum class Answer { pass, prepared, prepare_failed, finished, drop, ping };
  /// Something that libvirtd says. `ping` is answered on the spot: keepalive never leaves the host.
  Answer judge(ByteView message);

 private:
  Result<> admit_prepare(ByteView payload);
  Result<> check_parameters(const MigrateCall& call) const;
  Result<> check_definition(const std::string& xml) const;
  Result<> check_cookie(const std::string& cookie) const;

  const GateScope scope_;
  bool prepare_seen_ = false;
  bool finish_seen_ = false;
  std::uint32_t flags_ = 0;
  std::map<std::uint32_t, std::int32_t> open_calls_;  ///< serial to procedure
};

/// At the source, between libvirt's client in this process and the peer.
class SourceGate {
 public:
  explicit SourceGate(GateScope scope) : scope_(std::move(scope)) {}

  enum class Way { to_peer, finish, close, drop, refuse };
  /// Something that libvirt's client says. After close_gate(), all
  /// but Finish is `refuse`d. `close` is answered on
  /// the spot: the peer, which may be gone, has no say in it.
  Result<Way> judge(ByteView message);
  void close_gate() { refuses_calls_ = true; }

  /// An answer from the peer. Success: give it to libvirt's client.
  Result<> admit(ByteView message);

  /// What libvirt's client gets as the answer to its Finish. Nothing when it has not asked.
  std::optional<ByteBuffer> finish_answer(const FinishAnswer& answer);
  /// Failures in answer to every call that is still open, except Finish.
  std::vector<ByteBuffer> refuse_open_calls(const std::string& why);

 private:
  const GateScope scope_;
  bool refuses_calls_ = false;
  std::map<std::uint32_t, std::int32_t> open_calls_;
};

}  // namespace vmigrate::hypervisor
