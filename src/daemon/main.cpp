// migrated: the daemon on every host. What it is made of, in the order in which it comes up.
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <mutex>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <malloc.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "announce/bridge_announcer.hpp"
#include "audit/durable_trail.hpp"
#include "base/logging.hpp"
#include "control/server.hpp"
#include "daemon/api.hpp"
#include "daemon/audit_entries.hpp"
#include "daemon/audited_api.hpp"
#include "daemon/board.hpp"
#include "daemon/certificate.hpp"
#include "daemon/configuration.hpp"
#include "daemon/doctor.hpp"
#include "daemon/failpoints.hpp"
#include "daemon/history.hpp"
#include "daemon/hypervisors.hpp"
#include "daemon/permission.hpp"
#include "daemon/secrecy.hpp"
#include "migration/manager.hpp"
#include "peer/dialer.hpp"
#include "peer/listener.hpp"
#include "trust/own_identity.hpp"
#include "trust/paired_peers.hpp"
#include "trust/pairing.hpp"
#include "vmigrate_version.hpp"

namespace vmigrate::daemon {
namespace {

// Long enough to take VMs back that are still being copied; systemd's own patience is 90 s.
constexpr Milliseconds kPatienceAtTheEnd{20'000};

Result<> make_folders(const Configuration& configuration) {
  std::error_code error;
  for (const auto& path : {configuration.paths.runtime, configuration.paths.state}) {
    std::filesystem::create_directories(path, error);
    if (error)
      return fail(ErrorCode::failed, fmt::format("cannot make the folder {}: {}", path, error.message()));
  }
  // QEMU, which is not root, has to get through to its sockets; nobody else has any business in the state.
  ::chmod(configuration.paths.runtime.c_str(), 0711);
  ::chmod(configuration.paths.state.c_str(), 0700);
  return {};
}

/// What this host proves with who it is, and by what it knows the others.
Result<peer::Credentials> make_credentials(const Configuration& configuration,
                                           const std::shared_ptr<trust::PairedPeers>& paired,
                                           const std::shared_ptr<trust::Pairing>& pairing) {
  if (configuration.tls.certificate.empty()) {
    // The system's own is not checked yet, and ends up in the certificate.
    if (auto good = check_host_name(configuration.host.name); !good) return fail(good.error());
    auto made = trust::ensure_own_identity(configuration.paths.state, configuration.host.name,
                                           std::chrono::system_clock::now());
    if (!made) return fail(made.error());
  }
  return peer::Credentials::load(credential_files(configuration), paired, pairing);
}

/// How this host talks to the others.
peer::Endpoint make_endpoint(const Configuration& configuration, const peer::Credentials& credentials) {
  peer::Endpoint endpoint{credentials, {}, kVersion, {std::string(migration::kTakenFeature)}};
  for (const auto& [name, peer] : configuration.peers) endpoint.peers[name] = {peer.host, peer.port};
  return endpoint;
}

/// Blocked in every thread, so that they end up in sigwait().
sigset_t block_signals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGTERM);
  ::sigaddset(&signals, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

/// That the daemon itself comes or goes.
audit::Entry of_service(std::string result) {
  audit::Entry entry;
  entry.action = "serve";
  entry.result = std::move(result);
  return entry;
}

Result<> serve(const Configuration& configuration) {
  keep_memory_to_itself();
  const sigset_t signals = block_signals();
  if (auto made = make_folders(configuration); !made) return made;

  const Clock clock;

  // What this host has promised, what it has done, and who asked for it.
  const char* failpoint = std::getenv("VMIGRATE_FAILPOINT");  // NOLINT(concurrency-mt-unsafe): one thread yet
  auto failpoints = Failpoints::parse(failpoint == nullptr ? "" : failpoint);
  if (!failpoints) return fail(failpoints.error());
  auto opened = handover::open_journal(configuration.paths.state + "/journal.db");
  if (!opened) return fail(opened.error());
  const auto journal = failpoints->around(std::move(*opened));
  auto history = open_history(configuration.paths.state + "/history.db");
  if (!history) return fail(history.error());
  Board board(**history);
  const auto trail = std::make_shared<audit::DurableTrail>(configuration.paths.state + "/audit.db", clock);
  trail->note(of_service("started"), audit::Keep::every);

  // The edges: what runs VMs, the networks they are on, the other hosts.
  auto hypervisors = Hypervisors::create(configuration, *journal);
  if (!hypervisors) return fail(hypervisors.error());
  auto& hypervisor = failpoints->around((*hypervisors)->all());
  announce::BridgeAnnouncer announcer;
  migration::StreamCarriers carriers;
  SystemThreads threads;
  auto paired = trust::PairedPeers::open(configuration.paths.state + "/peers.toml");
  if (!paired) return fail(paired.error());
  const auto pairing = std::make_shared<trust::Pairing>(
      trust::Pairing::Self{configuration.host.name, configuration.listen.port}, *paired);
  auto credentials = make_credentials(configuration, *paired, pairing);
  if (!credentials) return fail(credentials.error());
  auto endpoint = make_endpoint(configuration, *credentials);
  endpoint.turned_away = [trail](const peer::TurnedAway& who) {
    // A flood fills neither the trail nor the log.
    if (!trail->note(entry_of(who), audit::Keep::some)) return;
    const auto& [host, address, features, end] = who.peer;
    spdlog::warn("{}: turned away: {}", host.empty() ? address : fmt::format("{} ({})", host, address),
                 who.reason);
  };
  const auto dialer = failpoints->around(std::make_unique<peer::TlsDialer>(endpoint));

  migration::Timing timing;
  timing.reconnect = configuration.migration.reconnect_window;
  timing.reconnect_stopped = configuration.migration.stopped_window;

  // The migrations themselves; first those that an earlier life of this daemon left.
  const migration::Edges edges{hypervisor,
                               *dialer,
                               *journal,
                               announcer,
                               carriers,
                               clock,
                               threads,
                               configuration.host.name,
                               configuration.paths.runtime,
                               timing,
                               configuration.migration.memory,
                               std::make_shared<ConfiguredPermission>(configuration, *paired),
                               trail};
  migration::Manager manager(edges, kVersion, [&board, trail](const migration::Report& report) {
    // First, so that whoever learns of an end finds it noted.
    note_report(*trail, report);
    board.publish(report);
  });
  if (auto recovered = manager.recover(); !recovered) return recovered;

  // Who may ask for them: other hosts, and people on this one.
  auto listener = peer::Listener::create(endpoint, configuration.listen.address, configuration.listen.port,
                                         [&manager, &failpoints](std::unique_ptr<peer::Session> session) {
                                           manager.accept(failpoints->around(std::move(session)));
                                         });
  if (!listener) return fail(listener.error());
  Doctor doctor(
      configuration, manager, **paired, [&hypervisors] { return (*hypervisors)->version(); },
      [trail] { return trail->trouble(); });
  Api api({configuration, hypervisor, manager, board, **history, doctor, {**paired, *pairing, *credentials}});
  AuditedApi audited({api, trail, manager, configuration, **paired});
  auto server =
      control::Server::create({configuration.paths.control_socket, configuration.control.group}, audited);
  if (!server) return fail(server.error());

  spdlog::info("migrated {} serves {} on {}:{}", kVersion, configuration.host.name,
               configuration.listen.address, configuration.listen.port);
  ::sd_notify(0, "READY=1");
  int signal = 0;
  ::sigwait(&signals, &signal);
  ::sd_notify(0, "STOPPING=1");
  spdlog::info("stopping: taking back what has not been handed over");
  manager.wind_down(kPatienceAtTheEnd);
  (*server)->close();  // whoever waits for one of these migrations learns how it ended
  trail->note(of_service("stopped"), audit::Keep::every);
  trail->close();
  // What is left is in the hands of the other host, or of libvirt. Ending the objects would touch it; the end
  // of the process does not, and the journal knows how to go on.
  std::_Exit(EXIT_SUCCESS);
}

int run(int argc, char** argv) {
  CLI::App app("Moves running virtual machines between libvirt hosts: the daemon.", "migrated");
  std::string path = "/etc/vmigrate/migrated.toml";
  app.add_option("-c,--config", path, "configuration file")->capture_default_str();
  bool check = false;
  app.add_flag("--check", check, "only check the configuration");
  app.set_version_flag("--version", kVersion);
  CLI11_PARSE(app, argc, argv);
  const auto complain = [](const Error& error) {
    std::cerr << "migrated: " << error.message << "\n";
    if (!error.hint.empty()) std::cerr << "hint: " << error.hint << "\n";
    return exit_code(error.code);
  };
  const auto configuration = load_configuration(path);
  if (!configuration) return complain(configuration.error());
  if (check) return EXIT_SUCCESS;
  // Set by systemd where standard error is the journal.
  const bool for_journald =
      std::getenv("JOURNAL_STREAM") != nullptr;  // NOLINT(concurrency-mt-unsafe): one thread yet
  if (auto logging = set_up_logging(configuration->log.level, for_journald); !logging)
    return complain(logging.error());
  const auto served = serve(*configuration);
  return served ? EXIT_SUCCESS : complain(served.error());
}

}  // namespace
}  // namespace vmigrate::daemon

int main(int argc, char** argv) {
  // Each migration has threads of its own, and its buffers come and go thousands of times a second. Given
  // back to the kernel each time, their memory would have to be cleared and mapped again, page by page; kept
  // by an arena for each thread it would help no other, and stay when all is over: only the main arena can be
  // trimmed to nothing.
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, 4 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 32 << 20);
  return vmigrate::daemon::run(argc, argv);
}
