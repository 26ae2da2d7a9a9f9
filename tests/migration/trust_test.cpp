// A host that is trusted no more, a VM that has no business there, certificates that end: where the VM is
// then.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "migration/certificates.hpp"
#include "scenario.hpp"

namespace vmigrate::migration {
namespace {

using hypervisor::FakeStep;
using testing::HasSubstr;

// --- A host is trusted no more

class CutOffAtEachStep : public Scenario, public testing::WithParamInterface<FakeStep> {
 protected:
  MigrationId hold_there() {
    a.hypervisor.script().hold(GetParam());
    auto id = start(a, b);
    EXPECT_TRUE(a.hypervisor.script().reached(GetParam()));
    return id;
  }
  Report end_of(const MigrationId& id) {
    a.hypervisor.script().release(GetParam());
    return a.await_end(id);
  }
};

INSTANTIATE_TEST_SUITE_P(Steps, CutOffAtEachStep,
                         testing::Values(FakeStep::ask_prepare, FakeStep::connect, FakeStep::memory,
                                         FakeStep::stopped));

TEST_P(CutOffAtEachStep, TheSourceKeepsItsVmWhenItTrustsTheDestinationNoMore) {
  const auto id = hold_there();
  a.daemon().cut_off("hostb");
  // Not before it is noticed: with the promise made, it would have to ask first.
  const auto report = a.await_end(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.error->code, ErrorCode::not_allowed);
  EXPECT_THAT(report.error->message, HasSubstr("hostb was removed from the hosts that hosta trusts"));
  a.hypervisor.script().release(GetParam());
  // Nothing tells the source when.
  b.await("it has cleared up", [&](const Report& now) { return now.id == id && has_ended(now.phase); });
  expect_runs_only_on(a);
  expect_moves(a, b);
}

TEST_P(CutOffAtEachStep, TheSourceKeepsItsVmWhenTheDestinationTrustsItNoMore) {
  const auto id = hold_there();
  b.daemon().cut_off("hosta");
  const auto report = end_of(id);
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.vm_runs_on, "hosta");
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{"hosta"});
  EXPECT_LE(world->most_running_at_once(web1.id), 1U);
  expect_moves(a, b);
}

TEST_F(Scenario, AVmThatWasHandedOverIsNotTakenBackBecauseTrustHasEnded) {
  b.hypervisor.script().hold(FakeStep::load);
  const auto id = start(a, b);
  ASSERT_TRUE(b.hypervisor.script().reached(FakeStep::load));
  a.daemon().cut_off("hostb");
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{});
  b.hypervisor.script().release(FakeStep::load);
  const auto report = a.await_end(id);
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{report.vm_runs_on});
  EXPECT_LE(world->most_running_at_once(web1.id), 1U);
}

// --- A host that is trusted and has gone bad

class SilentHost : public Scenario {
 protected:
  /// A host that is trusted opens sessions with hostb, and says nothing in them.
  void open_sessions(const std::string& host, int count) {
    const auto dialer = network.dialer(host);
    for (int i = 0; i < count; ++i) {
      auto session = dialer->dial("hostb");
      ASSERT_TRUE(session);
      (*session)->start({.message = [](peer::Lane, const ByteBuffer&) {}, .closed = [](const Error&) {}});
      silent_.push_back(std::move(*session));
    }
  }

 private:
  std::vector<std::unique_ptr<peer::Session>> silent_;
};

TEST_F(SilentHost, DoesNotKeepOthersOut) {
  // More than all hosts together may have.
  open_sessions("hostc", 200);
  expect_moves(a, b);
}

TEST_F(SilentHost, DoesNotKeepAVmFromLeaving) {
  expect_moves(a, b);
  for (const auto* host : {"hostc", "hostd", "hoste"}) open_sessions(host, 100);
  expect_moves(b, a);
}

class BusyHost : public Scenario {
 protected:
  BusyHost() {
    b.timing.claim = Milliseconds(100);
    b.kill_daemon();
    b.start_daemon();
  }
  /// Offers so many VMs to hostb, and leaves it at that.
  void offer_vms(const std::string& host, int count) {
    const auto dialer = network.dialer(host);
    for (int i = 0; i < count; ++i) {
      auto session = dialer->dial("hostb");
      ASSERT_TRUE(session);
      (*session)->start({.message = [this](peer::Lane, const ByteBuffer& message) { note(message); },
                         .closed = [](const Error&) {}});
      const auto id = MigrationId::random();
      (*session)->send(peer::Lane::control,
                       encode(Offer{id, false, handover::runtime_directory_of(folder_, id), host,
                                    hypervisor::example_domain(fmt::format("{}-vm{}", host, i))}));
      sessions_.push_back(std::move(*session));
    }
  }
  /// What was found against them, once each has been answered.
  std::vector<std::string> await_answers(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return answers_ == count; }));
    return found_;
  }

 private:
  void note(const ByteBuffer& message) {
    const auto decoded = decode(message);
    const auto* answer = decoded ? std::get_if<OfferAnswer>(&*decoded) : nullptr;
    if (answer == nullptr) return;
    const std::lock_guard lock(mutex_);
    ++answers_;
    for (const auto& finding : answer->findings) found_.push_back(finding.what);
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t answers_ = 0;
  std::vector<std::string> found_;
  std::vector<std::unique_ptr<peer::Session>> sessions_;
};

TEST_F(BusyHost, IsToldThatNoMoreVmsCanArriveAndIsStillAnswered) {
  offer_vms("hosta", 33);
  EXPECT_EQ(await_answers(33), std::vector<std::string>{"no more VMs can arrive on hostb at a time"});
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(ask_peer(a.edges(), "hostb", Ask{MigrationId::random()}, Milliseconds(10'000)));
}

TEST_F(BusyHost, DoesNotKeepOthersFromMoving) {
  offer_vms("hosta", 33);
  await_answers(33);
  offer_vms("hostc", 1);
  EXPECT_EQ(await_answers(34).size(), 1U);
}

TEST_F(Scenario, OnlySessionsWithThatHostEnd) {
  a.hypervisor.script().hold(FakeStep::memory);
  const auto id = start(a, b);
  ASSERT_TRUE(a.hypervisor.script().reached(FakeStep::memory));
  a.daemon().cut_off("hostc");
  b.daemon().cut_off("hostc");
  a.hypervisor.script().release(FakeStep::memory);
  EXPECT_EQ(a.await_end(id).phase, Phase::completed);
  expect_runs_only_on(b);
}

// --- Rules

class NothingAllowed : public Permission {
 public:
  explicit NothingAllowed(bool trusted) : trusted_(trusted) {}
  Result<> may_send(const hypervisor::DomainDescription& vm, const std::string& host) const override {
    return fail(ErrorCode::not_allowed, vm.name + " may not go to " + host);
  }
  Result<> may_receive(const hypervisor::DomainDescription& vm, const std::string& host) const override {
    return fail(ErrorCode::not_allowed, vm.name + " may not come from " + host);
  }
  bool is_trusted(const std::string&) const override { return trusted_; }

 private:
  const bool trusted_;
};

TEST_F(Scenario, ADestinationThatMayNotReceiveItSaysSoBeforeAnythingBegins) {
  b.kill_daemon();
  b.permission = std::make_shared<NothingAllowed>(true);
  b.start_daemon();
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.error->code, ErrorCode::not_allowed);
  EXPECT_THAT(report.error->message, HasSubstr("web1 may not come from hosta"));
  const auto log = world->log();
  EXPECT_EQ(world->position("hostb: journal reserved"), log.size()) << "nothing was promised";
  expect_runs_only_on(a);
  const auto findings = a.daemon().check(web1, "hostb");
  ASSERT_TRUE(findings);
  ASSERT_EQ(findings->size(), 1U);
  EXPECT_EQ(findings->front().code, ErrorCode::not_allowed);
}

TEST_F(Scenario, ASourceThatMayNotSendItDoesNotEvenAsk) {
  a.kill_daemon();
  a.permission = std::make_shared<NothingAllowed>(true);
  a.start_daemon();
  StartOptions options;
  options.host = "hostb";
  const auto refused = a.daemon().start("web1", options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_allowed);
  expect_runs_only_on(a);
}

TEST_F(Scenario, AHostThatWasTakenOutWhileItGreetedGetsNoFurther) {
  b.kill_daemon();
  b.permission = std::make_shared<NothingAllowed>(false);
  b.start_daemon();
  EXPECT_EQ(a.await_end(start(a, b)).phase, Phase::failed);
  EXPECT_EQ(world->position("hostb: journal reserved"), world->log().size());
  expect_runs_only_on(a);
}

// --- Certificates that end

class CertificatesEnd : public testing::Test {
 protected:
  using Clock = std::chrono::system_clock;
  Result<> judge(std::chrono::minutes left, std::optional<Milliseconds> limit = std::nullopt) const {
    peer::PeerIdentity peer{"hostb", "10.0.0.2:16510"};
    peer.certificates_end = now_ + left;
    return certificates_last(peer, now_, limit);
  }
  const Clock::time_point now_ = Clock::now();
};

TEST_F(CertificatesEnd, AMoveNeedsThemForAnHourUnlessItEndsSooner) {
  EXPECT_TRUE(judge(std::chrono::minutes(61)));
  EXPECT_FALSE(judge(std::chrono::minutes(59)));
  EXPECT_TRUE(judge(std::chrono::minutes(6), std::chrono::minutes(5)));
  EXPECT_FALSE(judge(std::chrono::minutes(4), std::chrono::minutes(5)));
  EXPECT_FALSE(judge(std::chrono::minutes(61), std::chrono::hours(2)));
  EXPECT_FALSE(judge(std::chrono::minutes(-5), std::chrono::minutes(0)));
  EXPECT_TRUE(certificates_last({"hostb", ""}, now_, std::nullopt)) << "those that never end";
}

TEST_F(CertificatesEnd, ARefusalSaysWhenAndWhatToDo) {
  const auto error = judge(std::chrono::minutes(1)).error();
  EXPECT_EQ(error.code, ErrorCode::refused);
  EXPECT_THAT(error.message, HasSubstr("hostb"));
  EXPECT_THAT(error.hint, HasSubstr("vmigrate doctor"));
}

TEST_F(Scenario, AMoveThatWouldOutlastACertificateIsRefusedAndOneUnderWayIsNot) {
  network.set_certificates_end(std::chrono::system_clock::now() + std::chrono::minutes(10));
  const auto report = a.await_end(start(a, b));
  EXPECT_EQ(report.phase, Phase::failed);
  EXPECT_EQ(report.error->code, ErrorCode::refused);
  expect_runs_only_on(a);
  const auto findings = a.daemon().check(web1, "hostb");
  ASSERT_TRUE(findings);
  EXPECT_EQ(findings->size(), 1U);
  StartOptions short_one;
  short_one.host = "hostb";
  short_one.finish_by = std::chrono::minutes(5);
  EXPECT_EQ(a.await_end(*a.daemon().start("web1", short_one)).phase, Phase::completed);
  expect_runs_only_on(b);
}

}  // namespace
}  // namespace vmigrate::migration
