#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "../migration/scenario.hpp"
#include "../peer/certificate_authority.hpp"
#include "control/handler.hpp"
#include "daemon/api.hpp"
#include "daemon/audit_entries.hpp"
#include "daemon/audited_api.hpp"
#include "daemon/permission.hpp"
#include "folder.hpp"
#include "trust/own_identity.hpp"

namespace vmigrate::daemon {

/// What one client is answered, for a test to wait for.
class Answers : public control::Responder {
 public:
  void send(control::Response response) override;
  void finish(control::Response response) override;
  void on_disconnect(std::function<void()> callback) override;

  void disconnect();
  /// The last response. Fails the test when there is none in a time far beyond what it takes.
  control::Response last();
  /// Waits until a response before the last shows this phase, or the last one is there.
  void await(control::Phase phase);
  std::vector<control::Response> before_the_last() const;
  bool has_finished() const;

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<control::Response> sent_;
  std::vector<control::Response> finished_;
  std::function<void()> disconnected_;
};

/// hosta's daemon without its sockets: a fake hypervisor with web1 running, a good certificate, real files,
/// and hostb beside it, which is configured and answers.
class DaemonTest : public testing::Test {
 protected:
  DaemonTest();
  ~DaemonTest() override;

  /// The items of an examination about `subject`; one is expected.
  control::DoctorItem examine(const std::string& subject);
  std::shared_ptr<Answers> ask(const control::Request& request);
  std::shared_ptr<Answers> ask_as(const control::Request& request, const control::Caller& caller);
  /// What the audit trail says, the oldest first; of one action only where it is named.
  std::vector<audit::Entry> noted(const std::string& action = {});
  audit::DurableTrail& trail() { return *trail_; }
  AuditedApi& audited_api() { return audited_api_; }
  /// The answer to what needs no waiting.
  control::Response answer(const control::Request& request) { return ask(request)->last(); }
  void use_certificate(const peer::CertificateWish& wish);
  void use_certificate(const peer::CredentialFiles& files);

  Api& api() { return api_; }

  static control::Request start_request(const std::string& vm = "web1", const std::string& host = "hostb");

  const Clock clock_;
  const TemporaryFolder folder_;
  peer::CertificateAuthority authority_;
  Configuration configuration_;
  Result<std::string> version_ = std::string("libvirt 9.0.0, QEMU 7.2.22");
  migration::LoopbackNetwork network_;
  const std::shared_ptr<hypervisor::FakeWorld> world_ = std::make_shared<hypervisor::FakeWorld>();
  migration::ScenarioHost hostb_{"hostb", network_, world_, folder_.path()};
  hypervisor::FakeHypervisor hypervisor_{"hosta", world_};
  const hypervisor::DomainDescription web1_ = hypervisor::example_domain("web1");
  std::unique_ptr<History> history_ = *open_history(folder_.file("history.db"));
  Board board_{*history_};
  const std::shared_ptr<trust::PairedPeers> paired_ = *trust::PairedPeers::open(folder_.file("peers.toml"));
  const std::shared_ptr<trust::Pairing> pairing_ =
      std::make_shared<trust::Pairing>(trust::Pairing::Self{.name = "hosta", .port = 1}, paired_);
  const peer::Credentials credentials_ = *peer::Credentials::load(
      *trust::ensure_own_identity(folder_.path(), "hosta", std::chrono::system_clock::now()), paired_,
      pairing_);

 private:
  static migration::Timing quick();
  migration::Edges edges();

  migration::FakeAnnouncer announcer_{"hosta", world_};
  migration::StreamCarriers carriers_;
  SystemThreads threads_;
  const std::unique_ptr<peer::Dialer> dialer_ = network_.dialer("hosta");
  const std::unique_ptr<handover::Journal> journal_ = *handover::open_journal(folder_.file("hosta.db"));
  const std::shared_ptr<audit::DurableTrail> trail_ =
      std::make_shared<audit::DurableTrail>(folder_.file("audit.db"), clock_);
  migration::Manager manager_{edges(), "1.2.3", [this](const migration::Report& report) {
                                note_report(*trail_, report);
                                board_.publish(report);
                              }};
  Doctor doctor_{configuration_, manager_, *paired_, [this] { return version_; },
                 [this] { return trail_->trouble(); }};
  Api api_{{configuration_,
            hypervisor_,
            manager_,
            board_,
            *history_,
            doctor_,
            {*paired_, *pairing_, credentials_}}};
  AuditedApi audited_api_{{api_, trail_, manager_, configuration_, *paired_}};
};

}  // namespace vmigrate::daemon
