#include "hypervisor/outgoing_move.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <libvirt/virterror.h>

#include "base/logging.hpp"
#include "base/thread_name.hpp"
#include "hypervisor/throttle.hpp"

namespace vmigrate::hypervisor {
namespace {

// How long an aborted migration may take to let go of the VM before its connection to libvirtd is cut.
constexpr std::chrono::seconds kPatience{30};

std::string uri_of(const std::string& socket) {
  return "unix://" + socket;
}

std::string in_folder(const OutgoingOptions& options, const std::string& name) {
  return options.runtime_directory + "/" + name;
}

/// The parameters of virDomainMigrate3.
class Parameters {
 public:
  Parameters() = default;
  Parameters(const Parameters&) = delete;
  Parameters& operator=(const Parameters&) = delete;
  ~Parameters() { ::virTypedParamsFree(list_, count_); }

  void add(const char* name, const std::string& value) {
    ::virTypedParamsAddString(&list_, &count_, &capacity_, name, value.c_str());
  }
  void add(const char* name, unsigned long long value) {
    ::virTypedParamsAddULLong(&list_, &count_, &capacity_, name, value);
  }
  virTypedParameterPtr list() const { return list_; }
  unsigned count() const { return static_cast<unsigned>(count_); }

 private:
  virTypedParameterPtr list_ = nullptr;
  int count_ = 0;
  int capacity_ = 0;
};

unsigned migrate_flags(bool persistent, const OutgoingOptions& options) {
  // PAUSED: Finish loads the VM at the destination and leaves its vCPUs stopped; only the handover starts
  // them. UNSAFE: libvirt knows only file systems that it has heard of and cache modes, and refuses the rest;
  // that both hosts see the same storage was proved by storage_proof.hpp, and the cache modes by the checks.
  unsigned flags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED | VIR_MIGRATE_UNSAFE;
  if (persistent) flags |= VIR_MIGRATE_PERSIST_DEST;
  if (persistent && !options.keep_source_definition) flags |= VIR_MIGRATE_UNDEFINE_SOURCE;
  if (options.max_slowdown > Percent{0}) flags |= VIR_MIGRATE_AUTO_CONVERGE;
  return flags;
}

}  // namespace

Result<std::unique_ptr<LibvirtOutgoingMove>> LibvirtOutgoingMove::create(std::shared_ptr<LibvirtLink> link,
                                                                         const DomainDescription& domain,
                                                                         const OutgoingOptions& options,
                                                                         OutgoingEvents events) {
  auto gate = UnixListener::create(in_folder(options, "rpc.sock"));
  if (!gate) return fail(gate.error());
  auto stream = UnixListener::create(in_folder(options, "ram.sock"));
  if (!stream) return fail(stream.error());
  auto relay = SourceRelay::create(in_folder(options, "source.sock"), link->socket());
  if (!relay) return fail(relay.error());
  return std::unique_ptr<LibvirtOutgoingMove>(
      new LibvirtOutgoingMove(std::move(link), domain, options, std::move(events),
                              Sockets{std::move(*relay), std::move(*gate), std::move(*stream)}));
}

LibvirtOutgoingMove::LibvirtOutgoingMove(std::shared_ptr<LibvirtLink> link, const DomainDescription& domain,
                                         const OutgoingOptions& options, OutgoingEvents events,
                                         Sockets sockets)
    : link_(std::move(link)),
      name_(domain.name),
      vm_(domain.id),
      persistent_(domain.persistent),
      was_running_(domain.state == DomainState::running),
      options_(options),
      events_(std::move(events)),
      sockets_(std::move(sockets)),
      gate_(GateScope{domain.id, domain.name, "", uri_of(in_folder(options, "ram.sock"))}) {
}

LibvirtOutgoingMove::~LibvirtOutgoingMove() {
  bool in_finish = false;
  {
    const std::lock_guard lock(mutex_);
    owner_gone_ = true;
    in_finish = verdict_ == Verdict::pending;
  }
  if (in_finish) {
    die_in_finish();
  } else if (thread_.joinable()) {
    abort();
    answer_finish({false, {}, "the migration was given up"});
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [&] { return over_; })) sockets_.source->cut();
  }
  if (thread_.joinable()) thread_.join();
  sockets_.gate.close();
  sockets_.stream.close();
  shut_down(client_);
}

void LibvirtOutgoingMove::die_in_finish() {
  // First this host's libvirtd, so that nothing that the client does afterwards can resume the VM.
  sockets_.source->cut();
  const std::lock_guard lock(mutex_);
  shut_down(client_);
}

void LibvirtOutgoingMove::start() {
  stream_thread_ = std::jthread([this] { accept_stream(); });
  gate_thread_ = std::jthread([this] { serve_gate(); });
  thread_ = std::jthread([this] { run(); });
}

void LibvirtOutgoingMove::run() {
  name_this_thread("move-" + name_);
  Result<> result = outcome(migrate());
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
    if (owner_gone_) return;
  }
  events_.ended(std::move(result));
}

Result<> LibvirtOutgoingMove::migrate() {
  const auto source = open_connection(in_folder(options_, "source.sock"));
  if (!source) return fail(source.error());
  const auto destination = open_connection(in_folder(options_, "rpc.sock"));
  if (!destination) return fail(destination.error().in("the destination's libvirt"));
  const Domain domain(::virDomainLookupByUUIDString(source->get(), vm_.text().c_str()));
  if (!domain) return fail(libvirt_error("looking for " + name_));
  if (options_.max_slowdown == Percent{0}) return call_migrate(domain.get(), destination->get());
  if (auto held = hold_throttle_back(domain.get()); !held) return held;
  auto called = call_migrate(domain.get(), destination->get());
  if (!called) forget_throttle();
  return called;
}

/// Nothing is slowed any more, now that QEMU's migration is over; but somebody may move the VM by other
/// means.
void LibvirtOutgoingMove::forget_throttle() {
  const auto domain = link_->find(vm_);
  if (!domain || !*domain) return;
  if (const auto reset = reset_throttle(domain->get()); !reset)
    spdlog::warn("{}: {}", name_, reset.error().message);
}

Result<> LibvirtOutgoingMove::call_migrate(virDomainPtr domain, virConnectPtr destination) {
  const auto pause = static_cast<unsigned long long>(options_.max_pause.count());
  if (::virDomainMigrateSetMaxDowntime(domain, pause, 0) != 0)
    return fail(libvirt_error("limiting the pause"));
  Parameters parameters;
  parameters.add(VIR_MIGRATE_PARAM_URI, uri_of(in_folder(options_, "ram.sock")));
  if (options_.bandwidth.bytes_per_second > 0) {
    constexpr unsigned long long mebibyte = 1 << 20;
    parameters.add(VIR_MIGRATE_PARAM_BANDWIDTH,
                   std::max<unsigned long long>(1, options_.bandwidth.bytes_per_second / mebibyte));
  }
  const Domain moved(::virDomainMigrate3(domain, destination, parameters.list(), parameters.count(),
                                         migrate_flags(persistent_, options_)));
  if (!moved) return fail(libvirt_error("libvirt's migration"));
  return {};
}

Result<> LibvirtOutgoingMove::outcome(Result<> called) {
  Verdict verdict;
  bool aborted = false;
  {
    const std::lock_guard lock(mutex_);
    verdict = verdict_;
    aborted = abort_asked_;
  }
  if (verdict != Verdict::loaded) {
    if (called) return fail(ErrorCode::failed, "libvirt ended the migration without being told to");
    if (aborted) called.error().code = ErrorCode::cancelled;
    if (verdict == Verdict::failed) make_it_run_again();
    return called;
  }
  // libvirt reports success also when its Confirm failed, which leaves the VM stopped here.
  const auto state = link_->state(vm_);
  if (!state) return fail(state.error().in("the VM was handed over, and its stopped copy here may be left"));
  if (*state == DomainState::absent || *state == DomainState::shut_off) return {};
  return fail(ErrorCode::failed, "the VM was handed over, but libvirt left its stopped copy here");
}

/// libvirt resumes the VM by itself, but only tries once and does not tell.
void LibvirtOutgoingMove::make_it_run_again() {
  const auto state = link_->state(vm_);
  if (!was_running_ || !state || *state != DomainState::paused) return;
  if (const auto resumed = link_->resume(vm_); !resumed)
    spdlog::error("{}: {}", name_, resumed.error().message);
}

void LibvirtOutgoingMove::accept_stream() {
  name_this_thread("ram-accept");
  auto stream = sockets_.stream.accept();
  if (!stream) return;
  {
    const std::lock_guard lock(mutex_);
    if (owner_gone_ || abort_asked_) return;
  }
  events_.stream_connected(std::move(*stream));
}

void LibvirtOutgoingMove::serve_gate() {
  name_this_thread("rpc-gate");
  auto client = sockets_.gate.accept();
  if (!client || !is_own_process(client->get())) return;
  const int socket = client->get();
  {
    const std::lock_guard lock(mutex_);
    client_ = std::move(*client);
  }
  for (;;) {
    auto message = read_rpc_message(socket);
    if (!message) return;
    on_call(std::move(*message));
  }
}

void LibvirtOutgoingMove::on_call(ByteBuffer message) {
  Result<SourceGate::Way> way = SourceGate::Way::drop;
  {
    const std::lock_guard lock(mutex_);
    way = gate_.judge(message);
  }
  const auto header = parse_header(message);
  if (!way || !header) {
    spdlog::warn("{}", (way ? header.error() : way.error()).message);
    return;
  }
  switch (*way) {
    case SourceGate::Way::drop: return;
    case SourceGate::Way::to_peer: return events_.to_peer(std::move(message));
    case SourceGate::Way::finish: return on_finish(std::move(message));
    case SourceGate::Way::close:
      return write_to_client(make_message(
          {.procedure = header->procedure, .type = RpcType::reply, .serial = header->serial}, {}));
    case SourceGate::Way::refuse:
      return write_to_client(make_error(header->procedure, header->serial, "cancelled"));
  }
}

void LibvirtOutgoingMove::on_finish(ByteBuffer message) {
  const auto call = parse_finish(payload_of(message));
  // libvirt's own client wrote it: whatever cannot be read is not a success.
  const bool cancelled = !call || call->cancelled;
  bool given_up = false;
  {
    const std::lock_guard lock(mutex_);
    verdict_ = cancelled ? Verdict::failed : Verdict::pending;
    sockets_.source->set_verdict(verdict_);
    given_up = owner_gone_;
  }
  if (given_up) return answer_finish({false, {}, "the migration was given up"});
  events_.finish_requested(FinishCall{cancelled, std::move(message)});
}

void LibvirtOutgoingMove::deliver(PeerMessage message) {
  std::vector<ByteBuffer> answers;
  {
    const std::lock_guard lock(mutex_);
    if (const auto admitted = gate_.admit(message)) {
      answers.push_back(std::move(message));
    } else {
      spdlog::warn("{}", admitted.error().message);
      answers = gate_.refuse_open_calls(admitted.error().message);
    }
  }
  for (const ByteBuffer& answer : answers) write_to_client(answer);
}

void LibvirtOutgoingMove::answer_finish(FinishAnswer answer) {
  std::optional<ByteBuffer> reply;
  {
    const std::lock_guard lock(mutex_);
    // A cancelled Finish has failed whatever the answer is.
    if (verdict_ == Verdict::failed) answer.loaded = false;
    reply = gate_.finish_answer(answer);
    if (!reply) return;
    verdict_ = answer.loaded ? Verdict::loaded : Verdict::failed;
    sockets_.source->set_verdict(verdict_);
  }
  write_to_client(*reply);
}

void LibvirtOutgoingMove::abort() {
  std::vector<ByteBuffer> answers;
  {
    const std::lock_guard lock(mutex_);
    if (verdict_ != Verdict::none || over_) return;
    abort_asked_ = true;
    gate_.close_gate();
    answers = gate_.refuse_open_calls("cancelled");
  }
  for (const ByteBuffer& answer : answers) write_to_client(answer);
  sockets_.stream.close();
  const auto domain = link_->find(vm_);
  // Without a job there is nothing to end yet: the refused Prepare, or the closed socket, does it.
  if (domain && *domain) ::virDomainAbortJob(domain->get());
}

void LibvirtOutgoingMove::write_to_client(const ByteBuffer& message) {
  const std::lock_guard lock(mutex_);
  if (client_) static_cast<void>(write_all(client_.get(), message));
}

Result<MemoryProgress> LibvirtOutgoingMove::progress() {
  const auto domain = link_->find(vm_);
  if (!domain) return fail(domain.error());
  if (!*domain) return fail(ErrorCode::not_found, "the VM is gone");
  int type = 0;
  virTypedParameterPtr list = nullptr;
  int count = 0;
  if (::virDomainGetJobStats(domain->get(), &type, &list, &count, 0) != 0) {
    return fail(libvirt_error("asking for the migration's progress"));
  }
  const auto number = [&](const char* name) {
    unsigned long long value = 0;
    if (::virTypedParamsGetULLong(list, count, name, &value) != 1) value = 0;
    return std::uint64_t{value};
  };
  MemoryProgress progress;
  progress.total = Bytes{number(VIR_DOMAIN_JOB_MEMORY_TOTAL)};
  progress.processed = Bytes{number(VIR_DOMAIN_JOB_MEMORY_PROCESSED)};
  progress.remaining = Bytes{number(VIR_DOMAIN_JOB_MEMORY_REMAINING)};
  // Pages a second.
  progress.dirty_rate =
      Rate{number(VIR_DOMAIN_JOB_MEMORY_DIRTY_RATE) * number(VIR_DOMAIN_JOB_MEMORY_PAGE_SIZE)};
  progress.pass = static_cast<std::uint32_t>(number(VIR_DOMAIN_JOB_MEMORY_ITERATION));
  progress.expected_downtime = Milliseconds(number(VIR_DOMAIN_JOB_DOWNTIME));
  int throttle = 0;
  if (::virTypedParamsGetInt(list, count, VIR_DOMAIN_JOB_AUTO_CONVERGE_THROTTLE, &throttle) == 1)
    progress.slowdown = Percent{static_cast<std::uint32_t>(std::max(throttle, 0))};
  ::virTypedParamsFree(list, count);
  return progress;
}

Result<> LibvirtOutgoingMove::set_max_pause(Milliseconds pause) {
  const auto domain = link_->find(vm_);
  if (!domain) return fail(domain.error());
  if (!*domain) return fail(ErrorCode::not_found, "the VM is gone");
  if (::virDomainMigrateSetMaxDowntime(domain->get(), static_cast<unsigned long long>(pause.count()), 0) !=
      0) {
    return fail(libvirt_error("limiting the pause"));
  }
  return {};
}

Result<> LibvirtOutgoingMove::set_slowdown(Percent slowdown) {
  slowdown = std::min(slowdown, options_.max_slowdown);
  if (slowdown == Percent{0}) return {};
  const auto domain = link_->find(vm_);
  if (!domain) return fail(domain.error());
  if (!*domain) return fail(ErrorCode::not_found, "the VM is gone");
  return throttle(domain->get(), slowdown);
}

}  // namespace vmigrate::hypervisor
