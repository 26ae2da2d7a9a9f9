#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "books.hpp"
#include "hypervisor.hpp"
#include "migration/manager.hpp"
#include "network.hpp"
#include "streams.hpp"

namespace vmigrate::simulation {

/// Says that everything was announced.
class SilentAnnouncer : public announce::Announcer {
 public:
  std::vector<Result<announce::Announced>> announce(std::vector<announce::Interface> interfaces) override;
  std::vector<std::string> addresses_of(const std::string&, const std::string&) override { return {}; }
};

/// One host: its hypervisor, its disk and its folder outlive the daemon, which dies and comes back.
class Host {
 public:
  Host(Stage stage, Side side, Network& network, Books& books, std::string folder);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// As systemd would. Nothing when it runs.
  void start_daemon();
  /// kill -9.
  void kill_daemon();
  void freeze_daemon(std::chrono::microseconds duration);
  void thaw_daemon() { freeze_daemon({}); }
  /// The host loses power and comes back: its VMs are gone, and those that shall are started anew.
  void reboot(std::chrono::microseconds duration);
  /// No thread of the daemon has anything left to do.
  bool is_idle() const;

  /// What a person asks for. Nothing when the daemon is not there.
  void start_migration(bool keep_definition);
  void cancel();
  void resolve(const MigrationId& migration);

  SimulatedHypervisor& hypervisor() { return hypervisor_; }
  /// The newest of each migration that left this host, in the order of their beginning.
  const std::vector<migration::Report>& reports() const { return reports_; }
  std::vector<std::string> folders() const;

 private:
  struct Daemon;
  void boot();
  void publish(const migration::Report& report);
  void on_thread(const std::string& name, std::function<void(migration::Manager&)> work);

  const Stage stage_;
  const Side side_;
  Network& network_;
  Books& books_;
  const std::string folder_;
  SimulatedHypervisor hypervisor_;
  SilentAnnouncer announcer_;
  std::unique_ptr<Daemon> daemon_;
  std::vector<std::unique_ptr<Daemon>> corpses_;
  bool powered_ = true;
  int lives_ = 0;
  std::vector<migration::Report> reports_;
};

}  // namespace vmigrate::simulation
