#pragma once

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "hypervisor/fake.hpp"
#include "loopback.hpp"
#include "migration/manager.hpp"
#include "migration/messages.hpp"
#include "remembering_trail.hpp"

namespace vmigrate::migration {

/// The real journal, which notes its writes in the world's log and fails where a test says so.
class WatchedJournal : public handover::Journal {
 public:
  WatchedJournal(std::string host, std::shared_ptr<hypervisor::FakeWorld> world,
                 std::unique_ptr<Journal> real)
      : host_(std::move(host)), world_(std::move(world)), real_(std::move(real)) {}

  void fail_at(std::string state) {
    const std::lock_guard lock(mutex_);
    failing_ = std::move(state);
  }
  int failures() {
    const std::lock_guard lock(mutex_);
    return failures_;
  }
  /// The record is on disk all the same, as where an fsync has failed.
  void lie_at(std::string state) {
    const std::lock_guard lock(mutex_);
    lying_ = std::move(state);
  }

  Result<> write(const handover::Record& record) override {
    {
      const std::lock_guard lock(mutex_);
      if (record.state == lying_) (void)real_->write(record);
      if (record.state == failing_ || record.state == lying_) {
        ++failures_;
        return fail(ErrorCode::failed, "the journal's disk is full");
      }
    }
    world_->note(host_, "journal " + record.state);
    return real_->write(record);
  }
  Result<std::optional<handover::Record>> find(const MigrationId& migration, handover::Role role) override {
    return real_->find(migration, role);
  }
  Result<std::vector<handover::Record>> unfinished() override { return real_->unfinished(); }
  Result<std::vector<handover::Record>> of_vm(const VmId& vm) override { return real_->of_vm(vm); }

 private:
  const std::string host_;
  const std::shared_ptr<hypervisor::FakeWorld> world_;
  const std::unique_ptr<Journal> real_;
  std::mutex mutex_;
  std::string failing_;
  std::string lying_;
  int failures_ = 0;
};

/// Says that everything was announced.
class FakeAnnouncer : public announce::Announcer {
 public:
  FakeAnnouncer(std::string host, std::shared_ptr<hypervisor::FakeWorld> world)
      : host_(std::move(host)), world_(std::move(world)) {}
  std::vector<Result<announce::Announced>> announce(std::vector<announce::Interface> interfaces) override;
  std::vector<std::string> addresses_of(const std::string&, const std::string&) override {
    return {"10.0.0.7"};
  }
  void forget(const std::string&) override { world_->note(host_, "forget addresses"); }

 private:
  const std::string host_;
  const std::shared_ptr<hypervisor::FakeWorld> world_;
};

/// A clock that a test can put forward.
class ForwardClock : public Clock {
 public:
  MonotonicTime now() const override { return Clock::now() + ahead_.load(); }
  void advance(Milliseconds by) { ahead_ = ahead_.load() + by; }

 private:
  std::atomic<Milliseconds> ahead_{Milliseconds(0)};
};

/// One host: its hypervisor and its disk outlive the daemon, which can be killed and started.
class ScenarioHost {
 public:
  ScenarioHost(std::string name, LoopbackNetwork& network, std::shared_ptr<hypervisor::FakeWorld> world,
               const std::string& folder);

  void start_daemon();
  void kill_daemon();
  Manager& daemon() { return *daemon_; }
  /// What its daemon works with.
  Edges edges();

  /// Waits for a report that fits; fails the test when none comes.
  Report await(const std::string& what, const std::function<bool(const Report&)>& fits);
  Report await_end(const MigrationId& id);
  std::vector<Report> reports_of(const MigrationId& id);
  /// What the test itself remembers, and a daemon does not.
  void forget();

  const std::string name;
  Timing timing;  ///< of the daemon, once it is started again
  hypervisor::FakeHypervisor hypervisor;
  WatchedJournal* journal = nullptr;
  const std::shared_ptr<RememberingTrail> trail;
  ForwardClock clock;
  /// Of a daemon that is started from now on.
  std::shared_ptr<const Permission> permission = std::make_shared<Permission>();

 private:
  LoopbackNetwork& network_;
  const std::string folder_;
  const std::shared_ptr<hypervisor::FakeWorld> world_;
  const std::unique_ptr<peer::Dialer> dialer_;
  std::unique_ptr<handover::Journal> journal_;
  FakeAnnouncer announcer_;
  StreamCarriers carriers_;
  SystemThreads threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Report> reports_;
  std::unique_ptr<Manager> daemon_;
};

/// Two hosts with a running daemon each, and web1 running on hosta.
class Scenario : public testing::Test {
 protected:
  Scenario();
  ~Scenario() override;

  MigrationId start(ScenarioHost& from, ScenarioHost& to);
  /// From now on links that are lost are tried again.
  void allow_stalls(Milliseconds while_running, Milliseconds while_stopped);
  /// The VM runs on `host`, on no other, and never ran on two; nothing of it is left elsewhere.
  void expect_runs_only_on(ScenarioHost& host);
  void expect_moves(ScenarioHost& from, ScenarioHost& to);
  ScenarioHost& other(ScenarioHost& host) { return &host == &a ? b : a; }

  const std::string folder_;
  const std::shared_ptr<hypervisor::FakeWorld> world = std::make_shared<hypervisor::FakeWorld>();
  LoopbackNetwork network;
  ScenarioHost a;
  ScenarioHost b;
  const hypervisor::DomainDescription web1 = hypervisor::example_domain("web1");
};

}  // namespace vmigrate::migration
