#include "hypervisor/vmm_outgoing_move.hpp"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/thread_name.hpp"

namespace vmigrate::hypervisor {
namespace {

constexpr std::uint32_t kMostSlowdown = 99;
// A VMM that was told to end is ended.
constexpr Milliseconds kEndPatience{5'000};

}  // namespace

Result<std::unique_ptr<VmmOutgoingMove>> VmmOutgoingMove::create(std::shared_ptr<VmmServer> server,
                                                                 std::shared_ptr<Vmm> vmm,
                                                                 const DomainDescription& domain,
                                                                 const OutgoingOptions& options,
                                                                 OutgoingEvents events) {
  auto listener = vmm::Listener::create(options.runtime_directory + "/ram.sock");
  if (!listener) return fail(listener.error());
  return std::unique_ptr<VmmOutgoingMove>(new VmmOutgoingMove(
      std::move(server), std::move(vmm), domain, options, std::move(events), std::move(*listener)));
}

VmmOutgoingMove::VmmOutgoingMove(std::shared_ptr<VmmServer> server, std::shared_ptr<Vmm> vmm,
                                 const DomainDescription& domain, const OutgoingOptions& options,
                                 OutgoingEvents events, vmm::Listener listener)
    : server_(std::move(server)),
      vmm_(std::move(vmm)),
      name_(domain.name),
      total_(domain.memory),
      was_running_(domain.state == DomainState::running),
      options_(options),
      events_(std::move(events)),
      path_(options.runtime_directory + "/ram.sock"),
      listener_(std::move(listener)) {
  progress_.total = total_;
  progress_.remaining = total_;
}

VmmOutgoingMove::~VmmOutgoingMove() {
  {
    const std::lock_guard lock(mutex_);
    owner_gone_ = true;
    changed_.notify_all();
  }
  abort();
  if (thread_.joinable()) thread_.join();
  listener_.close();
  if (stream_thread_.joinable()) stream_thread_.join();
  vmm_->watch_progress({});
}

void VmmOutgoingMove::start() {
  vmm_->watch_progress([this](const vmm::Progress& progress) { note(progress); });
  stream_thread_ = std::jthread([this] { accept_stream(); });
  thread_ = std::jthread([this] { run(); });
}

void VmmOutgoingMove::run() {
  name_this_thread("move-" + name_);
  const auto sent = send();
  if (!sent) return tell_end(fail(sent.error()));
  {
    const std::lock_guard lock(mutex_);
    sent_ = true;
  }
  events_.finish_requested({false, copy_of(as_byte_view(sent->SerializeAsString()))});
  const auto answer = await_answer();
  if (!answer) return;  // as when the daemon dies: it stands still, and the next one decides
  tell_end(answer->loaded ? let_go() : take_back(*answer));
}

void VmmOutgoingMove::tell_end(Result<> result) {
  {
    const std::lock_guard lock(mutex_);
    if (owner_gone_) return;
  }
  events_.ended(std::move(result));
}

Result<vmm::Reply> VmmOutgoingMove::send() {
  vmm::Request request;
  auto& wanted = *request.mutable_send();
  wanted.set_socket(path_);
  wanted.set_max_pause_ms(static_cast<std::uint64_t>(options_.longest_pause.count()));
  wanted.set_bandwidth(options_.bandwidth.bytes_per_second);
  auto reply = vmm_->ask(std::move(request), std::nullopt);
  if (reply) return reply;
  auto error = reply.error();
  const std::lock_guard lock(mutex_);
  if (abort_asked_) error.code = ErrorCode::cancelled;
  return fail(std::move(error));
}

void VmmOutgoingMove::accept_stream() {
  name_this_thread("ram-accept");
  auto stream = listener_.accept();
  if (!stream) return;
  {
    const std::lock_guard lock(mutex_);
    if (owner_gone_) return;
  }
  events_.stream_connected(std::move(*stream));
}

std::optional<FinishAnswer> VmmOutgoingMove::await_answer() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return owner_gone_ || answer_; });
  return answer_;
}

/// The destination has it: nothing of it may be left here.
Result<> VmmOutgoingMove::let_go() {
  vmm::Request request;
  request.mutable_finish();
  const auto told = vmm_->ask(std::move(request), kAnswerPatience);
  if (told && vmm_->process().await_end(kEndPatience)) {
    server_->forget(vmm_);
    return {};
  }
  if (!told) spdlog::warn("{}: {}", name_, told.error().message);
  return server_->end(vmm_);
}

Result<> VmmOutgoingMove::take_back(const FinishAnswer& answer) {
  if (was_running_) {
    vmm::Request request;
    request.mutable_resume();
    if (const auto resumed = vmm_->ask(std::move(request), kAnswerPatience); !resumed)
      spdlog::warn("{}: {}", name_, resumed.error().message);
  }
  return fail(ErrorCode::failed, answer.reason, answer.hint);
}

void VmmOutgoingMove::deliver(PeerMessage) {
  spdlog::warn("{}: the peer has a message for a hypervisor that expects none; ignored", name_);
}

void VmmOutgoingMove::answer_finish(FinishAnswer answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
  changed_.notify_all();
}

void VmmOutgoingMove::abort() {
  {
    const std::lock_guard lock(mutex_);
    if (sent_) return;
    abort_asked_ = true;
  }
  vmm::Request request;
  request.mutable_cancel();
  // One that does not answer is not waited for: how the move ends is told by the answer to Send.
  if (const auto told = vmm_->ask(std::move(request), kAnswerPatience); !told)
    spdlog::warn("{}: {}", name_, told.error().message);
}

// --- Progress
// -----------------------------------------------------------------------------------------------

void VmmOutgoingMove::note(const vmm::Progress& told) {
  const std::lock_guard lock(mutex_);
  const Bytes remaining{told.remaining()};
  const bool same_round = told.round() == progress_.pass;
  const auto left_then = progress_.remaining.count;
  const auto done = same_round ? left_then - std::min(left_then, remaining.count) : left_then;
  if (progress_.pass > 0) progress_.processed = progress_.processed + Bytes{done};
  if (!same_round) {
    const auto now = std::chrono::steady_clock::now();
    const auto seconds = std::chrono::duration<double>(now - round_begun_).count();
    // What is to be sent when a round begins was changed during the one before.
    if (told.round() > 1 && seconds > 0)
      progress_.dirty_rate = Rate{static_cast<std::uint64_t>(static_cast<double>(remaining.count) / seconds)};
    round_begun_ = now;
  }
  progress_.pass = told.round();
  progress_.remaining = remaining;
  progress_.slowdown = Percent{std::min(told.slowdown_percent(), kMostSlowdown)};
}

Result<MemoryProgress> VmmOutgoingMove::progress() {
  const std::lock_guard lock(mutex_);
  return progress_;
}

Result<> VmmOutgoingMove::set_max_pause(Milliseconds pause) {
  if (pause <= options_.longest_pause) return {};
  vmm::Request request;
  request.mutable_allow_pause()->set_max_pause_ms(static_cast<std::uint64_t>(pause.count()));
  return vmm_->ask(std::move(request), kAnswerPatience).map([](const auto&) {});
}

Result<> VmmOutgoingMove::set_slowdown(Percent slowdown) {
  slowdown = std::min(slowdown, options_.max_slowdown);
  if (slowdown == Percent{0}) return {};
  vmm::Request request;
  request.mutable_slow_down()->set_percent(slowdown.count);
  return vmm_->ask(std::move(request), kAnswerPatience).map([](const auto&) {});
}

}  // namespace vmigrate::hypervisor
