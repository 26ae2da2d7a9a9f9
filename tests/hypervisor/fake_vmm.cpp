#include "fake_vmm.hpp"

#include <array>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/frames.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::hypervisor {
namespace {

/// What runs in the child.
class Child {
 public:
  Child(std::string socket, const std::string& id, const std::string& name) : socket_(std::move(socket)) {
    description_.set_kind(FakeVmm::kKind);
    description_.set_vm(id);
    description_.set_name(name);
    description_.set_memory(FakeVmm::kSize);
    state_ = id.empty() ? vmm::STATE_UNSPECIFIED : vmm::RUNNING;
  }

  int run() {
    while (!over_) {
      auto connected = vmm::connect(socket_);
      if (connected) talk(std::move(*connected));
      ::poll(nullptr, 0, 10);
    }
    return EXIT_SUCCESS;
  }

 private:
  void talk(FileDescriptor connection) {
    connection_ = std::move(connection);
    frames_ = {};
    welcomed_ = false;
    vmm::FromVmm message;
    auto& hello = *message.mutable_hello();
    hello.set_version(vmm::kVersion);
    hello.set_kind(FakeVmm::kKind);
    hello.set_vm(description_.vm());
    hello.set_name(description_.name());
    (void)vmm::write_message(connection_.get(), message);
    while (!over_ && read()) {
    }
    if (state_ == vmm::INCOMING) over_ = true;
    if (sending_) end_send(false);
  }

  bool read() {
    std::array<pollfd, 2> files{{{connection_.get(), POLLIN, 0}, {stream_.get(), POLLIN, 0}}};
    ::poll(files.data(), files.size(), -1);
    if (files[1].revents != 0) move_on();
    const auto open = frames_.read_available(connection_.get());
    for (;;) {
      const auto message = frames_.next<vmm::ToVmm>();
      if (!message) return false;
      if (!*message) return open && *open;
      if ((*message)->has_refusal()) std::_Exit(exit_code(ErrorCode::refused));
      if ((*message)->has_welcome()) welcomed_ = true;
      if (!welcomed_) std::_Exit(EXIT_FAILURE);  // asked before it is known
      if ((*message)->has_request()) answer((*message)->request());
    }
  }

  void answer(const vmm::Request& request) {
    switch (request.request_case()) {
      case vmm::Request::kCheck:
        return reply(request.number(),
                     request.check().description().name() == "strange" ? "it is strange" : "");
      case vmm::Request::kCreate:
        description_ = request.create().description();
        state_ = vmm::INCOMING;
        break;
      case vmm::Request::kSlowDown: tell_slowdown(request.slow_down().percent()); break;
      case vmm::Request::kResume: state_ = vmm::RUNNING; break;
      case vmm::Request::kFinish: over_ = true; break;
      case vmm::Request::kSend: return begin(request.number(), request.send().socket(), true);
      case vmm::Request::kReceive: return begin(request.number(), request.receive().socket(), false);
      case vmm::Request::kCancel:
        reply(request.number(), "");
        if (sending_) end_send(false);
        return;
      default: break;
    }
    reply(request.number(), "");
  }

  void tell_slowdown(std::uint32_t percent) {
    vmm::FromVmm message;
    message.mutable_event()->mutable_progress()->set_slowdown_percent(percent);
    (void)vmm::write_message(connection_.get(), message);
  }

  void begin(std::uint64_t number, const std::string& path, bool sending) {
    stream_ = std::move(*vmm::connect(path));
    number_ = number;
    sending_ = sending;
    const std::string_view memory = FakeVmm::kMemory;
    if (sending) (void)::send(stream_.get(), memory.data(), memory.size(), MSG_NOSIGNAL);
  }

  /// All has been read at the other end, or something has come.
  void move_on() {
    std::array<char, 256> buffer;
    const ssize_t count = ::recv(stream_.get(), buffer.data(), buffer.size(), 0);
    if (sending_) return end_send(count > 0);
    if (count > 0) received_.append(buffer.data(), static_cast<std::size_t>(count));
    if (received_ != FakeVmm::kMemory && count > 0) return;
    stream_.reset();
    if (received_ == FakeVmm::kMemory) state_ = vmm::PAUSED;
    reply(number_, received_ == FakeVmm::kMemory ? "" : "the stream has ended");
  }

  void end_send(bool complete) {
    sending_ = false;
    stream_.reset();
    if (complete) state_ = vmm::PAUSED;
    reply(number_, complete ? "" : "cancelled");
  }

  void reply(std::uint64_t number, const std::string& error) {
    vmm::FromVmm message;
    auto& reply = *message.mutable_reply();
    reply.set_number(number);
    *reply.mutable_description() = description_;
    reply.set_state(state_);
    if (!error.empty()) *reply.mutable_error() = vmm::to_proto({ErrorCode::refused, error});
    (void)vmm::write_message(connection_.get(), message);
  }

  const std::string socket_;
  vmm::Description description_;
  vmm::State state_;
  FileDescriptor connection_;
  FileDescriptor stream_;
  vmm::Frames frames_;
  std::uint64_t number_ = 0;
  std::string received_;
  bool welcomed_ = false;
  bool sending_ = false;
  bool over_ = false;
};

}  // namespace

FakeVmm::FakeVmm(const std::string& socket, const std::string& id, const std::string& name) : pid_(::fork()) {
  if (pid_ != 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::close_range(STDERR_FILENO + 1, ~0U, 0);  // a connection ends when the test ends it
  std::_Exit(Child(socket, id, name).run());
}

FakeVmm::~FakeVmm() {
  kill();
}

bool FakeVmm::has_ended() {
  if (!reaped_) reaped_ = ::waitpid(pid_, nullptr, WNOHANG) == pid_;
  return reaped_;
}

void FakeVmm::kill() {
  if (reaped_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  reaped_ = true;
}

}  // namespace vmigrate::hypervisor
