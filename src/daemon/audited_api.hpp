#pragma once

#include <memory>
#include <optional>

#include "audit/durable_trail.hpp"
#include "control/handler.hpp"
#include "daemon/configuration.hpp"
#include "migration/manager.hpp"
#include "trust/paired_peers.hpp"

namespace vmigrate::daemon {

/// Stands before the API: notes every request and what it is answered in the audit trail, and answers those
/// that are about the trail itself.
class AuditedApi : public control::RequestHandler {
 public:
  struct Parts {
    control::RequestHandler& api;
    std::shared_ptr<audit::DurableTrail> trail;
    migration::Manager& manager;
    const Configuration& configuration;
    const trust::PairedPeers& paired;
  };

  explicit AuditedApi(Parts parts) : parts_(parts) {}

  void handle(const control::Request& request, const control::Caller& caller,
              std::shared_ptr<control::Responder> responder) override;
  void turned_away(const std::optional<control::Caller>& caller, const vmigrate::Error& why) override;

 private:
  Result<control::Response> answer(const control::Request& request, const control::Caller& caller);
  Result<control::Response> list(const control::Audit& request);
  Result<control::Response> verify();

  const Parts parts_;
};

}  // namespace vmigrate::daemon
