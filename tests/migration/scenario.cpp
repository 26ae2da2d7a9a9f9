#include "scenario.hpp"

#include <cstdlib>

namespace vmigrate::migration {
namespace {

// Far beyond what any step takes; reached only when something hangs.
constexpr auto kPatience = std::chrono::seconds(30);

std::string make_folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "vmigrate-scenario-XXXXXX").string();
  return ::mkdtemp(pattern.data());
}

Timing quick() {
  Timing timing;
  timing.question = Milliseconds(2'000);
  timing.retry = Milliseconds(10);
  timing.progress = Milliseconds(2);
  timing.reconnect = Milliseconds(0);
  return timing;
}

}  // namespace

std::vector<Result<announce::Announced>> FakeAnnouncer::announce(
    std::vector<announce::Interface> interfaces) {
  std::vector<Result<announce::Announced>> results;
  results.reserve(interfaces.size());
  for (const auto& interface : interfaces)
    results.push_back(announce::Announced{interface.mac, 1, interface.addresses});
  return results;
}

ScenarioHost::ScenarioHost(std::string host, LoopbackNetwork& network,
                           std::shared_ptr<hypervisor::FakeWorld> world, const std::string& folder)
    : name(std::move(host)),
      timing(quick()),
      hypervisor(name, world),
      // hosta's hashes are of a, hostb's of b.
      trail(std::make_shared<RememberingTrail>(name.back())),
      network_(network),
      folder_(folder),
      world_(std::move(world)),
      dialer_(network.dialer(name)),
      announcer_(name, world_) {
  start_daemon();
}

Edges ScenarioHost::edges() {
  return {hypervisor,
          *dialer_,
          *journal_,
          announcer_,
          carriers_,
          clock,
          threads_,
          name,
          folder_,
          timing,
          Bytes{std::uint64_t{128} << 20},
          permission,
          trail};
}

void ScenarioHost::start_daemon() {
  auto real = handover::open_journal(folder_ + "/" + name + ".db");
  ASSERT_TRUE(real) << real.error().message;
  auto watched = std::make_unique<WatchedJournal>(name, world_, std::move(*real));
  journal = watched.get();
  journal_ = std::move(watched);
  daemon_ = std::make_unique<Manager>(edges(), "test", [this](const Report& report) {
    const std::lock_guard lock(mutex_);
    reports_.push_back(report);
    changed_.notify_all();
  });
  ASSERT_TRUE(daemon_->recover());
  network_.listen(name,
                  [this](std::unique_ptr<peer::Session> session) { daemon_->accept(std::move(session)); });
}

void ScenarioHost::kill_daemon() {
  network_.silence(name);
  daemon_.reset();
  journal_.reset();
}

Report ScenarioHost::await(const std::string& what, const std::function<bool(const Report&)>& fits) {
  std::unique_lock lock(mutex_);
  std::optional<Report> found;
  const bool came = changed_.wait_for(lock, kPatience, [&] {
    for (const auto& report : reports_) {
      if (fits(report)) found = report;
    }
    return found.has_value();
  });
  EXPECT_TRUE(came) << name << " never reported: " << what;
  return found.value_or(Report{});
}

Report ScenarioHost::await_end(const MigrationId& id) {
  return await("the end", [&](const Report& report) {
    return report.id == id && report.role == handover::Role::source && has_ended(report.phase);
  });
}

std::vector<Report> ScenarioHost::reports_of(const MigrationId& id) {
  const std::lock_guard lock(mutex_);
  std::vector<Report> result;
  for (const auto& report : reports_) {
    if (report.id == id && report.role == handover::Role::source) result.push_back(report);
  }
  return result;
}

void ScenarioHost::forget() {
  const std::lock_guard lock(mutex_);
  reports_ = {};
  trail->forget();
}

Scenario::Scenario()
    : folder_(make_folder()), a("hosta", network, world, folder_), b("hostb", network, world, folder_) {
  a.hypervisor.add(web1);
}

Scenario::~Scenario() {
  a.kill_daemon();
  b.kill_daemon();
  std::filesystem::remove_all(folder_);
}

void Scenario::allow_stalls(Milliseconds while_running, Milliseconds while_stopped) {
  for (auto* host : {&a, &b}) {
    host->timing.reconnect = while_running;
    host->timing.reconnect_stopped = while_stopped;
    host->kill_daemon();
    host->start_daemon();
  }
}

MigrationId Scenario::start(ScenarioHost& from, ScenarioHost& to) {
  StartOptions options;
  options.host = to.name;
  options.requested_by = "test";
  const auto id = from.daemon().start(web1.name, options);
  EXPECT_TRUE(id) << id.error().message;
  return id.value_or(MigrationId());
}

void Scenario::expect_runs_only_on(ScenarioHost& host) {
  EXPECT_EQ(world->running_on(web1.id), std::set<std::string>{host.name});
  EXPECT_LE(world->most_running_at_once(web1.id), 1U);
  EXPECT_EQ(*other(host).hypervisor.state(web1.id), hypervisor::DomainState::absent);
}

void Scenario::expect_moves(ScenarioHost& from, ScenarioHost& to) {
  const auto report = from.await_end(start(from, to));
  EXPECT_EQ(report.phase, Phase::completed) << (report.error ? report.error->message : "");
  EXPECT_EQ(report.vm_runs_on, to.name);
  expect_runs_only_on(to);
}

}  // namespace vmigrate::migration
