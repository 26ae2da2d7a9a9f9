#include "microvm/agent.hpp"

#include <array>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/thread_name.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::microvm {
namespace {

// How often to look whether `migrated` is there (again).
constexpr std::chrono::milliseconds kLook{200};
constexpr std::chrono::milliseconds kGreetingPatience{10'000};

FileDescriptor make_event() {
  return FileDescriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

}  // namespace

Agent::Agent(AgentSettings settings, Identity identity, std::unique_ptr<VirtualMachine> vm)
    : settings_(std::move(settings)),
      wakeup_(make_event()),
      identity_(std::move(identity)),
      vm_(std::move(vm)),
      starts_(true) {
}

Agent::Agent(AgentSettings settings, std::function<void()> taken)
    : settings_(std::move(settings)), taken_(std::move(taken)), wakeup_(make_event()) {
}

Agent::~Agent() = default;

Result<> Agent::serve() {
  if (vm_) {
    if (auto taken = take(identity_, std::move(vm_)); !taken) return taken;
  }
  while (!over_ && !has_ended()) {
    auto socket = vmm::connect(settings_.socket);
    if (socket) {
      if (auto talked = talk(std::move(*socket)); !talked) return talked;
    }
    if (!over_) wait_for_daemon();
  }
  return {};
}

Result<> Agent::take(Identity identity, std::unique_ptr<VirtualMachine> vm) {
  identity_ = std::move(identity);
  vm_ = std::move(vm);
  vm_->watch([this](const kvm::Progress& progress) { report_progress(progress); });
  auto described = describe(*vm_, identity_);
  if (!described) return fail(described.error());
  description_ = std::move(*described);
  auto console = Console::create(*vm_, settings_.console_folder, identity_.name, [this] { wake(); });
  if (!console) return fail(console.error());
  console_ = std::move(*console);
  return {};
}

void Agent::wake() const {
  ::eventfd_write(wakeup_.get(), 1);
}

// --- The connection
// -----------------------------------------------------------------------------------------

void Agent::wait_for_daemon() const {
  pollfd woken{wakeup_.get(), POLLIN, 0};
  ::poll(&woken, 1, static_cast<int>(kLook.count()));
  eventfd_t ignored = 0;
  ::eventfd_read(wakeup_.get(), &ignored);
}

Result<> Agent::talk(FileDescriptor socket) {
  frames_ = {};
  {
    const std::lock_guard lock(mutex_);
    socket_ = std::move(socket);
  }
  const auto greeted = greet();
  // Before the guest has run, a refusal is final. Afterwards nothing that a daemon says or does not say is a
  // reason to end the only copy that there may be.
  const bool expendable = !vm_ || starts_;
  if (!greeted && expendable && greeted.error().code != ErrorCode::unreachable) return greeted;
  if (greeted) {
    if (std::exchange(starts_, false)) vm_->run();
    // The first question may have come together with the greeting.
    auto answered = answer_what_has_come();
    while (!over_ && answered) answered = read_and_answer();
  }
  on_connection_lost();
  return {};
}

vmm::Hello Agent::hello() const {
  vmm::Hello hello;
  hello.set_version(vmm::kVersion);
  hello.set_kind(kKind);
  hello.set_vm(identity_.id.text());
  hello.set_name(identity_.name);
  return hello;
}

Result<> Agent::greet() {
  vmm::FromVmm message;
  *message.mutable_hello() = hello();
  if (auto told = tell(message); !told) return told;
  const auto deadline = std::chrono::steady_clock::now() + kGreetingPatience;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto answer = frames_.next<vmm::ToVmm>();
    if (!answer) return fail(answer.error());
    if (*answer && (*answer)->has_welcome()) return {};
    if (*answer && (*answer)->has_refusal()) return fail(vmm::from_proto((*answer)->refusal()));
    if (*answer) return fail(ErrorCode::failed, "migrated does not greet");
    pollfd wanted{socket_.get(), POLLIN, 0};
    ::poll(&wanted, 1, static_cast<int>(kLook.count()));
    const auto open = frames_.read_available(socket_.get());
    if (!open || !*open) break;
  }
  return fail(ErrorCode::unreachable, "migrated has closed the connection");
}

Result<> Agent::read_and_answer() {
  std::array<pollfd, 2> files{{{socket_.get(), POLLIN, 0}, {wakeup_.get(), POLLIN, 0}}};
  ::poll(files.data(), files.size(), -1);
  eventfd_t ignored = 0;
  ::eventfd_read(wakeup_.get(), &ignored);
  end_move(true);
  if (has_ended()) over_ = true;
  const auto open = frames_.read_available(socket_.get());
  if (!open) return fail(open.error());
  if (auto answered = answer_what_has_come(); !answered || *open) return answered;
  return fail(ErrorCode::unreachable, "migrated has closed the connection");
}

Result<> Agent::answer_what_has_come() {
  for (;;) {
    const auto message = frames_.next<vmm::ToVmm>();
    if (!message) return fail(message.error());
    if (!*message) return {};
    if ((*message)->has_request()) answer((*message)->request());
  }
}

// A VM that is not whole is nobody's: whoever had it brought here has gone, and the source has it still. All
// else waits as it is until it is told what has become of the move.
void Agent::on_connection_lost() {
  {
    const std::lock_guard lock(mutex_);
    socket_.reset();
  }
  if (cancellation_) cancellation_->cancel();
  const bool unfinished = step_ == Step::incoming || step_ == Step::receiving;
  if (move_thread_.joinable()) move_thread_.join();
  end_move(false);
  if (unfinished || has_ended()) over_ = true;
}

Result<> Agent::tell(const vmm::FromVmm& message) {
  const std::lock_guard lock(mutex_);
  if (!socket_) return fail(ErrorCode::unreachable, "there is no connection");
  auto written = vmm::write_message(socket_.get(), message);
  // Whoever reads sees the end then, and begins anew.
  if (!written) ::shutdown(socket_.get(), SHUT_RDWR);
  return written;
}

// --- What is asked for
// --------------------------------------------------------------------------------------

void Agent::answer(const vmm::Request& request) {
  switch (request.request_case()) {
    case vmm::Request::kDescribe: return reply_description(request.number());
    case vmm::Request::kSend:
    case vmm::Request::kReceive: return begin_move(request);
    default: reply(request.number(), do_at_once(request));
  }
}

void Agent::reply(std::uint64_t number, const Result<>& result) {
  vmm::FromVmm message;
  message.mutable_reply()->set_number(number);
  if (!result) *message.mutable_reply()->mutable_error() = vmm::to_proto(result.error());
  (void)tell(message);  // if it cannot be told, the connection is lost, which is seen elsewhere
}

void Agent::reply_description(std::uint64_t number) {
  vmm::FromVmm message;
  auto& reply = *message.mutable_reply();
  reply.set_number(number);
  *reply.mutable_description() = description_;
  reply.set_state(state());
  (void)tell(message);
}

vmm::State Agent::state() const {
  if (!vm_) return vmm::STATE_UNSPECIFIED;
  if (step_ == Step::incoming || step_ == Step::receiving) return vmm::INCOMING;
  if (!vm_->failure().empty()) return vmm::CRASHED;
  return vm_->is_running() ? vmm::RUNNING : vmm::PAUSED;
}

/// The guest's own wish, which is fulfilled where it runs. One that was sent is not ours any more.
bool Agent::has_ended() const {
  const bool ours = step_ == Step::none || step_ == Step::sending;
  return vm_ && ours && vm_->devices().has_ended() && vm_->failure().empty();
}

Result<> Agent::do_at_once(const vmm::Request& request) {
  switch (request.request_case()) {
    case vmm::Request::kCheck:
      if (vm_) return fail(ErrorCode::usage, "there is a VM here already");
      return make_twin(request.check().description()).map([](const auto&) {});
    case vmm::Request::kCreate: return create(request.create().description());
    case vmm::Request::kPause: return pause();
    case vmm::Request::kResume: return resume();
    case vmm::Request::kAllowPause:
    case vmm::Request::kSlowDown:
      if (!vm_) return fail(ErrorCode::usage, "there is no VM here");
      if (request.has_allow_pause())
        return vm_->machine().allow_pause(Milliseconds(request.allow_pause().max_pause_ms()));
      return vm_->machine().slow_down(Percent{request.slow_down().percent()});
    case vmm::Request::kCancel:
      if (cancellation_) cancellation_->cancel();
      return {};
    case vmm::Request::kFinish: return finish();
    default: return fail(ErrorCode::usage, "vmigrate-microvm does not know this request");
  }
}

Result<> Agent::create(const vmm::Description& description) {
  if (vm_) return fail(ErrorCode::usage, "there is a VM here already");
  auto identity = identity_of(description);
  if (!identity) return fail(identity.error());
  auto vm = make_twin(description);
  if (!vm) return fail(vm.error());
  step_ = Step::incoming;
  if (auto taken = take(std::move(*identity), std::move(*vm)); !taken) {
    over_ = true;  // half of a VM is of no use
    return taken;
  }
  if (taken_) taken_();
  return {};
}

Result<> Agent::pause() {
  if (!vm_ || step_ != Step::none) return fail(ErrorCode::usage, "there is no VM that could be paused");
  if (vm_->is_running()) vm_->stop();
  return {};
}

Result<> Agent::resume() {
  if (!vm_ || step_ == Step::incoming || step_ == Step::receiving)
    return fail(ErrorCode::usage, "there is no VM that could run");
  if (step_ == Step::sending) return fail(ErrorCode::usage, "the VM is on its way");
  if (auto claimed = vm_->machine().claim(); !claimed) return claimed;
  step_ = Step::none;
  if (!vm_->is_running()) vm_->run();
  return {};
}

Result<> Agent::finish() {
  if (step_ != Step::sent) return fail(ErrorCode::usage, "the VM was not sent");
  over_ = true;
  return {};
}

// --- A move
// -------------------------------------------------------------------------------------------------

void Agent::begin_move(const vmm::Request& request) {
  // Whoever sends it on says that it is this host's: a VM that is paused is not resumed after a move.
  if (request.has_send() && (step_ == Step::received || step_ == Step::sent)) {
    if (auto claimed = vm_->machine().claim(); !claimed) return reply(request.number(), claimed);
    step_ = Step::none;
  }
  const auto wanted = request.has_send() ? Step::none : Step::incoming;
  if (!vm_ || step_ != wanted)
    return reply(request.number(), fail(ErrorCode::usage, "this VMM has no VM for that now"));
  auto cancellation = Cancellation::create();
  if (!cancellation) return reply(request.number(), fail(cancellation.error()));
  cancellation_.emplace(std::move(*cancellation));
  step_ = request.has_send() ? Step::sending : Step::receiving;
  move_number_ = request.number();
  move_thread_ = std::jthread([this, request] {
    name_this_thread("move");
    auto moved = move(request, *cancellation_);
    {
      const std::lock_guard lock(mutex_);
      moved_ = std::move(moved);
    }
    wake();
  });
}

Result<> Agent::move(const vmm::Request& request, const Cancellation& cancellation) {
  const auto socket = vmm::connect(request.has_send() ? request.send().socket() : request.receive().socket());
  if (!socket) return fail(socket.error());
  if (request.has_send()) return send(request.send(), socket->get(), cancellation);
  return vm_->machine().receive(socket->get(), cancellation).map([](const auto&) {});
}

Result<> Agent::send(const vmm::Send& request, int socket, const Cancellation& cancellation) {
  kvm::SendOptions options;
  options.max_pause = Milliseconds(request.max_pause_ms());
  options.bandwidth = Rate{request.bandwidth()};
  // When it is hopeless is for `migrated` to say, which watches all its moves.
  options.on_stall = kvm::OnStall::go_on;
  return vm_->machine().send(socket, options, cancellation).map([](const auto&) {});
}

void Agent::report_progress(const kvm::Progress& progress) {
  vmm::FromVmm message;
  auto& told = *message.mutable_event()->mutable_progress();
  told.set_round(progress.round);
  told.set_remaining(progress.remaining.count);
  told.set_rate(progress.rate.bytes_per_second);
  told.set_stopped(progress.stopped);
  told.set_slowdown_percent(progress.slowdown.count);
  (void)tell(message);
}

/// If the move's thread is through: what it has come to.
void Agent::end_move(bool connected) {
  std::optional<Result<>> moved;
  {
    const std::lock_guard lock(mutex_);
    moved = std::exchange(moved_, std::nullopt);
  }
  if (!moved) return;
  if (move_thread_.joinable()) move_thread_.join();
  cancellation_.reset();
  if (step_ == Step::sending) step_ = *moved ? Step::sent : Step::none;
  if (step_ == Step::receiving) {
    // Half of a VM can never run; `migrated` hears why and then sees this process end.
    if (*moved && connected)
      step_ = Step::received;
    else
      over_ = true;
  }
  // What the guest has written here stands before what it will write there.
  console_->flush();
  if (connected) reply(move_number_, *moved);
}

}  // namespace vmigrate::microvm
