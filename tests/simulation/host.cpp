#include "host.hpp"

#include <filesystem>

#include <fmt/format.h>

#include "handover/runtime_directory.hpp"
#include "handover/veto.hpp"

namespace vmigrate::simulation {

using std::chrono::microseconds;

namespace {

migration::Timing timing() {
  migration::Timing timing;
  // Memory takes no time here: progress matters only while a link stalls.
  timing.progress = std::chrono::seconds(1);
  return timing;
}

}  // namespace

std::vector<Result<announce::Announced>> SilentAnnouncer::announce(
    std::vector<announce::Interface> interfaces) {
  std::vector<Result<announce::Announced>> results;
  results.reserve(interfaces.size());
  for (const auto& interface : interfaces) results.push_back(announce::Announced{interface.mac, 1, {}});
  return results;
}

/// One life of migrated, wired as its main does.
struct Host::Daemon {
  Daemon(Host& host, std::shared_ptr<Life> its_life)
      : life(std::move(its_life)),
        threads(host.stage_.scheduler, life),
        dialer(host.network_.dialer(host.side_, life)),
        journal(host.books_.open(host.side_)),
        carriers(host.stage_, host.hypervisor_),
        manager({host.hypervisor_, *dialer, *journal, host.announcer_, carriers, host.stage_.scheduler,
                 threads, name_of(host.side_), host.folder_, timing()},
                "simulated", [&host](const migration::Report& report) { host.publish(report); }) {}

  const std::shared_ptr<Life> life;
  SimulatedThreads threads;
  const std::unique_ptr<peer::Dialer> dialer;
  const std::unique_ptr<handover::Journal> journal;
  SimulatedCarriers carriers;
  migration::Manager manager;
};

Host::Host(Stage stage, Side side, Network& network, Books& books, std::string folder)
    : stage_(stage),
      side_(side),
      network_(network),
      books_(books),
      folder_(std::move(folder)),
      hypervisor_(stage, side) {
}

Host::~Host() {
  if (daemon_) stage_.scheduler.kill(daemon_->life);
}

void Host::start_daemon() {
  if (daemon_ || !powered_) return;
  stage_.scheduler.trace(name_of(side_) + " daemon starts");
  // What was under way is in nobody's memory; the journal knows.
  std::erase_if(reports_,
                [](const migration::Report& report) { return !migration::has_ended(report.phase); });
  auto life = std::make_shared<Life>(fmt::format("{}.{}", name_of(side_), ++lives_));
  daemon_ = std::make_unique<Daemon>(*this, std::move(life));
  on_thread("main", [this, life = daemon_->life](migration::Manager& manager) {
    if (auto recovered = manager.recover(); !recovered) return;
    network_.listen(side_, life, [&manager](std::unique_ptr<peer::Session> session) {
      manager.accept(std::move(session));
    });
  });
}

void Host::kill_daemon() {
  if (!daemon_) return;
  const auto life = daemon_->life;
  corpses_.push_back(std::move(daemon_));
  stage_.scheduler.trace(name_of(side_) + " daemon is killed");
  // Nothing that its objects do while they are taken apart is anything that a killed process does.
  const auto left = folders();
  stage_.scheduler.kill(life);
  stage_.scheduler.after(microseconds(0), [this, left] {
    corpses_.clear();
    for (const auto& folder : left) std::filesystem::create_directory(folder_ + "/" + folder);
  });
}

void Host::freeze_daemon(microseconds duration) {
  if (daemon_) daemon_->life->freeze(stage_.scheduler.now() + duration);
}

void Host::reboot(microseconds duration) {
  if (!powered_) return;
  stage_.scheduler.trace(name_of(side_) + " loses power");
  kill_daemon();
  // What is in /run does not outlive it, and is there as long as the corpse is.
  stage_.scheduler.after(microseconds(1), [this] { handover::remove_stale_runtime_directories(folder_); });
  powered_ = false;
  hypervisor_.libvirtd_died();
  hypervisor_.vm_died();
  network_.lose_power(side_);
  stage_.scheduler.after(duration + std::chrono::seconds(5), [this] { boot(); });
}

void Host::boot() {
  powered_ = true;
  stage_.scheduler.trace(name_of(side_) + " boots");
  // libvirtd and migrated come up in no order, and libvirt's hook asks the journal by itself.
  stage_.scheduler.after(stage_.scheduler.some_time(), [this] {
    if (!stage_.world.at(side_).autostart) return;
    const bool vetoed =
        handover::veto_of_start(books_.on_disk(side_), stage_.world.vm().id, folder_).has_value();
    if (vetoed && stage_.mutation != Mutation::no_veto) return;
    stage_.world.boot(side_);
  });
  stage_.scheduler.after(stage_.scheduler.some_time(), [this] { start_daemon(); });
}

bool Host::is_idle() const {
  return !daemon_ || stage_.scheduler.threads_of(daemon_->life) == 0;
}

void Host::on_thread(const std::string& name, std::function<void(migration::Manager&)> work) {
  if (!daemon_) return;
  stage_.scheduler.start(daemon_->life, daemon_->life->name() + " " + name,
                         [daemon = daemon_.get(), work = std::move(work)] { work(daemon->manager); });
}

void Host::start_migration(bool keep_definition) {
  on_thread("start", [this, keep_definition](migration::Manager& manager) {
    migration::StartOptions options;
    options.host = name_of(other(side_));
    options.keep_source_definition = keep_definition;
    const auto started = manager.start(stage_.world.vm().name, options);
    stage_.scheduler.trace(started ? "started" : "not started: " + started.error().message);
  });
}

void Host::cancel() {
  if (reports_.empty()) return;
  on_thread("cancel", [id = reports_.back().id](migration::Manager& manager) { (void)manager.cancel(id); });
}

void Host::resolve(const MigrationId& migration) {
  on_thread("resolve", [this, migration](migration::Manager& manager) {
    if (const auto resolved = manager.resolve(migration, name_of(other(side_))); !resolved)
      stage_.scheduler.trace("not resolved: " + resolved.error().message);
  });
}

void Host::publish(const migration::Report& report) {
  if (report.role != handover::Role::source) return;
  stage_.scheduler.trace(fmt::format("{} reports {}", name_of(side_), to_string(report.phase)));
  for (auto& known : reports_) {
    if (known.id == report.id) {
      known = report;
      return;
    }
  }
  reports_.push_back(report);
}

std::vector<std::string> Host::folders() const {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, ignored))
    names.push_back(entry.path().filename().string());
  return names;
}

}  // namespace vmigrate::simulation
