#include "migration/manager.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <malloc.h>
#include <spdlog/spdlog.h>

#include "handover/runtime_directory.hpp"
#include "handover/veto.hpp"
#include "migration/audit_entries.hpp"
#include "migration/certificates.hpp"
#include "migration/destination_migration.hpp"
#include "migration/peer_link.hpp"
#include "migration/visitor.hpp"

namespace vmigrate::migration {
namespace {

// More than a host can usefully move at once; each costs threads and buffers. VMs that leave, VMs that
// arrive, and other hosts' questions do not take each other's places, nor does one host those of the others.
constexpr std::size_t kMostLeaving = 64;
constexpr std::size_t kMostArriving = 64;
constexpr std::size_t kMostArrivingOfAHost = 32;
// A host that starts anew asks about all that had been leaving it.
constexpr std::size_t kMostQuestionsOfAHost = kMostLeaving;
constexpr std::size_t kMostQuestions = 2 * kMostQuestionsOfAHost;

Result<> is_peer(const std::string& peer, const std::string& fenced_host) {
  if (peer == fenced_host) return {};
  return fail(ErrorCode::refused, fmt::format("the other host of the VM is {}, not {}", peer, fenced_host),
              fmt::format("make sure that {} cannot run it, and name that host", peer));
}

void warn_of_decision(const handover::Record& record) {
  spdlog::warn("{}: somebody has made sure that {} cannot run it, and lets it be started here",
               record.vm_name, record.peer);
}

void add_if_any(const Result<>& judged, std::vector<hypervisor::Finding>& findings) {
  if (!judged) findings.push_back(hypervisor::finding_of(judged.error()));
}

}  // namespace

Manager::Manager(Edges edges, std::string version, Publish publish)
    : edges_(std::move(edges)),
      version_(std::move(version)),
      publish_(std::move(publish)),
      claims_(edges_.threads),
      arriving_(edges_.threads, kMostArrivingOfAHost, kMostArriving),
      sessions_(edges_.threads, kMostQuestionsOfAHost, kMostQuestions),
      finished_(edges_.threads.make_condition()) {
}

Manager::~Manager() {
  {
    const std::lock_guard lock(mutex_);
    winding_down_ = true;
    for (auto& task : tasks_) {
      if (task.source) task.source->abandon();
      if (task.visitor) task.visitor->abandon();
      if (task.recovered) task.recovered->abandon();
    }
  }
  // Joined without the lock, which the threads take to say that they are through.
  for (auto& task : tasks_) task.thread.reset();
}

Result<> Manager::recover() {
  handover::remove_stale_runtime_directories(edges_.runtime_folder);
  auto records = edges_.journal.unfinished();
  if (!records) return fail(records.error());
  for (const auto& record : *records) {
    spdlog::warn("{} {}: going on with a migration in state {} on the {} side", short_form(record.migration),
                 record.vm_name, record.state, handover::to_string(record.role));
    auto claim = claims_.claim(record.vm);
    if (record.role == handover::Role::source) {
      Task task;
      task.migration = record.migration;
      task.peer = record.peer;
      auto source = std::make_shared<SourceMigration>(edges_, record, std::move(claim), publish_);
      task.source = source;
      run(std::move(task), "source", [source] { source->run(); });
    } else {
      go_on_with(record, handover::destination::Restarted{}, std::move(claim));
    }
  }
  return {};
}

void Manager::go_on_with(const handover::Record& record, handover::destination::Event event,
                         std::optional<Claims::Claim> claim) {
  Task task;
  task.migration = record.migration;
  task.peer = record.peer;
  auto recovered =
      std::make_shared<DestinationMigration>(edges_, record, std::move(event), std::move(claim), publish_);
  task.recovered = recovered;
  run(std::move(task), "destination", [recovered] { recovered->run(); });
}

Result<MigrationId> Manager::start(const std::string& vm, StartOptions options) {
  auto domain = edges_.hypervisor.describe(vm);
  if (!domain) return fail(domain.error());
  if (options.host == edges_.host) {
    return fail(ErrorCode::refused, fmt::format("{} is on {} already", domain->name, edges_.host));
  }
  if (auto may = edges_.permission->may_send(*domain, options.host); !may) return fail(may.error());
  auto claim = claims_.claim(domain->id);
  if (!claim) {
    return fail(ErrorCode::refused,
                fmt::format("a migration of {} is already under way on {}", domain->name, edges_.host),
                fmt::format("see: vmigrate show {}", domain->name));
  }
  reap();
  {
    const std::lock_guard lock(mutex_);
    if (winding_down_)
      return fail(ErrorCode::refused, fmt::format("migrated on {} is stopping", edges_.host));
    const auto leaving =
        std::count_if(tasks_.begin(), tasks_.end(), [](const Task& task) { return task.source != nullptr; });
    if (static_cast<std::size_t>(leaving) >= kMostLeaving) {
      return fail(ErrorCode::refused, fmt::format("{} VMs are leaving {} already", leaving, edges_.host),
                  "wait for some of them to have left");
    }
  }
  const auto id = MigrationId::random();
  if (auto recorded = edges_.audit->record(accepted_start(id, *domain, options, edges_.host)); !recorded) {
    return fail(recorded.error().in(edges_.host));
  }
  Task task;
  task.migration = id;
  task.peer = options.host;
  task.source = std::make_shared<SourceMigration>(edges_, id, std::move(*domain), std::move(options),
                                                  std::move(claim), publish_);
  auto source = task.source;
  run(std::move(task), "source", [source] { source->run(); });
  return id;
}

Result<> Manager::cancel(const MigrationId& migration) {
  auto source = find_source(migration, nullptr);
  if (!source) {
    return fail(ErrorCode::not_found,
                fmt::format("no migration {} leaves {} now", short_form(migration), edges_.host),
                "a migration is cancelled on the host that the VM leaves");
  }
  source->cancel();
  return {};
}

Result<> Manager::resolve(const MigrationId& migration, const std::string& fenced_host) {
  std::string peer;
  auto source = find_source(migration, &peer);
  if (!source) return take_over(migration, fenced_host);
  if (auto named = is_peer(peer, fenced_host); !named) return named;
  source->resolve();
  return {};
}

Result<> Manager::take_over(const MigrationId& migration, const std::string& fenced_host) {
  auto decided = take(migration, handover::Role::destination, handover::is_in_doubt, fenced_host);
  if (!decided) return fail(decided.error());
  auto& record = decided->record;
  if (auto there = is_defined(record); !there) return there;
  record.state = handover::destination::name(handover::destination::Done{});
  record.result.clear();  // why it was in doubt stood where the hypervisor's answer has its place
  warn_of_decision(record);
  if (auto written = edges_.journal.write(record); !written) return written;
  // Says that it is over.
  DestinationMigration(edges_, record, handover::destination::Restarted{}, std::move(decided->claim),
                       publish_)
      .run();
  return {};
}

void Manager::give_up(const MigrationId& migration, const std::string& source) {
  auto decided = take(migration, handover::Role::destination, handover::is_in_doubt, source);
  if (decided)
    return go_on_with(decided->record, handover::destination::TakenBack{}, std::move(decided->claim));
  // Mostly there was no doubt: what was refused here was taken back there. And what is under way has heard
  // it.
  if (decided.error().code != ErrorCode::not_found) {
    spdlog::info("{}: {} has its VM again: {}", short_form(migration), source, decided.error().message);
  }
}

Result<> Manager::take_back(const MigrationId& migration, const std::string& fenced_host) {
  auto decided = take(migration, handover::Role::source, handover::is_handed_over, fenced_host);
  if (!decided) return fail(decided.error());
  auto& record = decided->record;
  record.state = handover::source::name(handover::source::Reclaimed{Error{}});
  warn_of_decision(record);
  return edges_.journal.write(record);
}

Result<Manager::Decided> Manager::take(const MigrationId& migration, handover::Role role,
                                       bool (*needs_a_decision)(const handover::Record&),
                                       const std::string& fenced_host) {
  const auto nothing =
      fail(ErrorCode::not_found, fmt::format("nothing is in doubt on {} about this VM", edges_.host));
  const auto found = edges_.journal.find(migration, role);
  if (!found) return fail(found.error());
  if (!*found) return nothing;
  // Or it may be on its way back just now.
  auto claim = claims_.claim((*found)->vm);
  if (!claim) {
    return fail(ErrorCode::refused,
                fmt::format("a migration of {} is under way on {}", (*found)->vm_name, edges_.host));
  }
  // As it is now that nobody else decides.
  auto record = handover::record_in_force(edges_.journal, (*found)->vm, edges_.runtime_folder);
  if (!record) return fail(record.error());
  const bool meant = *record && (*record)->migration == migration && (*record)->role == role;
  if (!meant || !needs_a_decision(**record)) return nothing;
  if (auto named = is_peer((*record)->peer, fenced_host); !named) return fail(named.error());
  return Decided{std::move(**record), std::move(*claim)};
}

// The source's definition goes with its copy as soon as it hears of the decision.
Result<> Manager::is_defined(const handover::Record& record) const {
  // A VMM's VMs have none: they are made anew.
  if (!record.vmm.empty()) return {};
  const auto state = edges_.hypervisor.for_vms_of(record.vmm).state(record.vm);
  if (!state) return fail(state.error());
  if (*state != hypervisor::DomainState::absent) return {};
  return fail(
      ErrorCode::refused,
      fmt::format("libvirt on {} has no definition of {} that could be started", edges_.host, record.vm_name),
      fmt::format("define it here first (on {}: virsh dumpxml {}), or decide on {}", record.peer,
                  record.vm_name, record.peer));
}

Result<std::vector<hypervisor::Finding>> Manager::check(const hypervisor::DomainDescription& domain,
                                                        const std::string& host) {
  auto described = domain;
  auto findings = edges_.hypervisor.check_outgoing(described);
  if (!findings) return findings;
  add_if_any(edges_.permission->may_send(described, host), *findings);
  const auto id = MigrationId::random();
  const Offer offer{id, true, handover::runtime_directory_of(edges_.runtime_folder, id), edges_.host,
                    std::move(described)};
  peer::PeerIdentity there_is;
  const auto answer = ask_peer(edges_, host, offer, edges_.timing.answer, &there_is);
  if (!answer) return fail(answer.error());
  add_if_any(certificates_last(there_is, edges_.clock.wall(), std::nullopt), *findings);
  const auto* there = std::get_if<OfferAnswer>(&*answer);
  if (there == nullptr) return fail(ErrorCode::failed, fmt::format("{} did not answer the question", host));
  findings->insert(findings->end(), there->findings.begin(), there->findings.end());
  return findings;
}

Result<std::string> Manager::ping(const std::string& host) {
  const auto answer = ask_peer(edges_, host, Ping{version_}, edges_.timing.question);
  if (!answer) return fail(answer.error());
  const auto* pong = std::get_if<Ping>(&*answer);
  if (pong == nullptr) return fail(ErrorCode::failed, fmt::format("{} did not answer the question", host));
  return pong->version;
}

Result<std::vector<audit::Head>> Manager::audit_heads(const std::string& host) {
  const auto answer = ask_peer(edges_, host, AskHeads{edges_.audit->head()}, edges_.timing.question);
  if (!answer) return fail(answer.error());
  const auto* heads = std::get_if<Heads>(&*answer);
  if (heads == nullptr) return fail(ErrorCode::failed, fmt::format("{} did not answer the question", host));
  return heads->heads;
}

void Manager::accept(std::unique_ptr<peer::Session> session) {
  reap();
  const std::string host = session->peer().host;
  if (is_winding_down()) return;
  auto place = sessions_.take(host);
  if (!place) {
    const auto why = fmt::format("{} has too many sessions here that bring no VM", host);
    if (edges_.audit->note(from_peer("connect", "refused", session->peer(), why), audit::Keep::some))
      spdlog::warn("a session is turned away: {}", why);
    return;
  }
  Task task;
  task.peer = host;
  task.visitor =
      std::make_shared<Visitor>(edges_, claims_, arriving_, std::move(*place), std::move(session), version_,
                                publish_, [this](const SourceLeft& left) { on_source_left(left); });
  auto visitor = task.visitor;
  run(std::move(task), "visitor", [visitor] { visitor->run(); });
  // It may have been taken out since it has proved who it is, and before there was a task to be cut off.
  if (!edges_.permission->is_trusted(host)) cut_off(host);
}

bool Manager::is_winding_down() {
  const std::lock_guard lock(mutex_);
  return winding_down_;
}

void Manager::cut_off(const std::string& host) {
  const std::lock_guard lock(mutex_);
  for (auto& task : tasks_) {
    if (task.peer != host) continue;
    if (task.source) task.source->cut_off();
    if (task.visitor) task.visitor->cut_off();
  }
}

void Manager::wind_down(Milliseconds patience) {
  std::unique_lock lock(mutex_);
  winding_down_ = true;
  for (auto& task : tasks_) {
    if (task.source) task.source->cancel();
  }
  finished_->wait_for(lock, patience, [this] {
    // What arrives here needs no waiting for: its source sees the link go, and keeps its VM.
    return std::none_of(tasks_.begin(), tasks_.end(),
                        [](const Task& task) { return task.source != nullptr; });
  });
}

void Manager::run(Task task, std::string name, std::function<void()> work) {
  reap();
  const std::lock_guard lock(mutex_);
  auto& placed = tasks_.emplace_back(std::move(task));
  placed.thread = edges_.threads.start(std::move(name), [this, &placed, work = std::move(work)]() mutable {
    work();
    // Closing sessions and moves may take a moment; it must be over before the task counts as finished.
    work = nullptr;
    release(placed);
  });
}

void Manager::on_source_left(const SourceLeft& left) {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& task : tasks_) {
      if (task.visitor) task.visitor->on_source_left(left);
      if (task.recovered) task.recovered->on_source_left(left);
    }
  }
  if (left.taken_back) give_up(*left.migration, left.host);
}

void Manager::release(Task& task) {
  std::shared_ptr<SourceMigration> source;
  std::shared_ptr<Visitor> visitor;
  std::shared_ptr<DestinationMigration> recovered;
  {
    const std::lock_guard lock(mutex_);
    source = std::move(task.source);
    visitor = std::move(task.visitor);
    recovered = std::move(task.recovered);
  }
  const bool moved = source || recovered || (visitor && visitor->brings_vm());
  source.reset();
  visitor.reset();
  recovered.reset();
  bool trims = false;
  {
    const std::lock_guard lock(mutex_);
    task.finished = true;
    buffers_are_left_ = buffers_are_left_ || moved;
    trims = std::all_of(tasks_.begin(), tasks_.end(), [](const Task& each) { return each.finished; }) &&
            std::exchange(buffers_are_left_, false);
    finished_->notify_all();
  }
  // What the buffers of a move leave behind would stay with the daemon, as far as a small block lies above
  // it: up to 25 MB that nothing uses. The next one would not notice that it is there.
  if (trims) ::malloc_trim(0);
}

void Manager::reap() {
  std::list<Task> gone;
  const std::lock_guard lock(mutex_);
  for (auto task = tasks_.begin(); task != tasks_.end();) {
    const auto next = std::next(task);
    if (task->finished) gone.splice(gone.end(), tasks_, task);
    task = next;
  }
}

std::shared_ptr<SourceMigration> Manager::find_source(const MigrationId& migration, std::string* peer) {
  const std::lock_guard lock(mutex_);
  for (const auto& task : tasks_) {
    if (task.source && task.migration == migration) {
      if (peer != nullptr) *peer = task.peer;
      return task.source;
    }
  }
  return nullptr;
}

}  // namespace vmigrate::migration
