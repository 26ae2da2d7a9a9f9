#pragma once

#include <memory>
#include <string>
#include <vector>

#include "control/server.hpp"
#include "daemon/board.hpp"
#include "daemon/configuration.hpp"
#include "daemon/doctor.hpp"
#include "migration/manager.hpp"
#include "trust/paired_peers.hpp"
#include "trust/pairing.hpp"

namespace vmigrate::daemon {

control::Response error_response(const Error& error, std::string vm_state);

/// Whether a request is within its limits, and [allow] lets the caller make it. Asked before anything else;
/// an error is all that it is answered.
Result<> acceptable(const Configuration& configuration, const control::Request& request,
                    const control::Caller& caller);
/// The second half of that.
Result<> permits(const Configuration& configuration, const control::Request& request,
                 const control::Caller& caller);

/// Which other hosts are known, and how more come to be.
struct Trust {
  trust::PairedPeers& peers;
  trust::Pairing& pairing;
  const peer::Credentials& credentials;
};

/// What the control socket's clients ask for, done with the parts of the daemon.
class Api : public control::RequestHandler {
 public:
  struct Parts {
    const Configuration& configuration;
    hypervisor::Hypervisor& hypervisor;
    migration::Manager& manager;
    Board& board;
    History& history;
    Doctor& doctor;
    Trust trust;
  };

  explicit Api(Parts parts) : parts_(parts) {}

  void handle(const control::Request& request, const control::Caller& caller,
              std::shared_ptr<control::Responder> responder) override;

 private:
  using Answer = Result<control::Response>;

  void start(const control::Start& request, const control::Caller& caller,
             const std::shared_ptr<control::Responder>& responder);
  void watch(const control::Show& request, const std::shared_ptr<control::Responder>& responder);
  void cancel(const control::Show& request, const std::shared_ptr<control::Responder>& responder);
  /// Sends every report of the migration, and its last one as the last response.
  void follow(const std::string& migration, const std::shared_ptr<control::Responder>& responder,
              bool only_the_end);
  Answer check(const control::Check& request);
  Answer list();
  Answer show(const control::Show& request) const;
  Answer history(const control::History& request);
  Answer hosts();
  Answer doctor();
  Answer version() const;
  Answer resolve(const control::Resolve& request);

  // api_trust.cpp
  Result<trust::Pairing::Wish> wish_of(const control::Pair& request, const control::Caller& caller) const;
  void pair(const control::Pair& request, const control::Caller& caller,
            const std::shared_ptr<control::Responder>& responder);
  Result<trust::PairedPeer> show_code(trust::Pairing::Wish wish,
                                      const std::shared_ptr<control::Responder>& responder);
  Result<trust::PairedPeer> enter_code(trust::Pairing::Wish wish, const std::string& typed);
  Answer peers() const;
  Answer remove_peer(const control::RemovePeer& request, const control::Caller& caller);

  /// "web1 runs on hosta", for an error about a VM; empty when it cannot be said.
  std::string whereabouts(const std::string& vm);
  std::string whereabouts(const hypervisor::DomainDescription& domain) const;

  const Parts parts_;
};

}  // namespace vmigrate::daemon
