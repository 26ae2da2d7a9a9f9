#include "hypervisor/incoming_move.hpp"

#include <chrono>

#include <fmt/format.h>
#include <sys/socket.h>

#include "base/logging.hpp"
#include "base/thread_name.hpp"
#include "hypervisor/runtime_directory.hpp"

namespace vmigrate::hypervisor {
namespace {

// Starting a QEMU takes seconds. A connection that ends while libvirtd is at it can leave the VM behind.
constexpr std::chrono::seconds kPreparePatience{60};
// libvirtd may be destroying the VM by itself at the same moment; then the first try can fail.
constexpr int kDestroyTries = 3;
// What may lie before QEMU, twice that with the kernel's bookkeeping. With the 208 KiB that there are
// otherwise its thread and ours wait for each other at every turn, which costs both processors a sixth of a
// move.
constexpr int kStreamRoom = 2 << 20;

std::string stream_path(const std::string& folder) {
  return folder + "/ram.sock";
}

bool is_gone(DomainState state) {
  return state == DomainState::absent || state == DomainState::shut_off;
}

}  // namespace

Result<std::unique_ptr<LibvirtIncomingMove>> LibvirtIncomingMove::create(std::shared_ptr<LibvirtLink> link,
                                                                         const IncomingOptions& options,
                                                                         IncomingEvents events) {
  const auto state = link->state(options.domain.id);
  if (!state) return fail(state.error());
  if (!is_gone(*state)) {
    return fail(ErrorCode::refused,
                fmt::format("{} is {} on this host already", options.domain.name, to_string(*state)));
  }
  const auto defined = link->is_persistent(options.domain.id);
  if (!defined) return fail(defined.error());
  if (auto opened = open_to_qemu(options.runtime_directory); !opened) return fail(opened.error());
  auto libvirt = connect_unix(link->socket());
  if (!libvirt) return fail(libvirt.error());
  return std::unique_ptr<LibvirtIncomingMove>(
      new LibvirtIncomingMove(std::move(link), options, std::move(events), std::move(*libvirt), *defined));
}

LibvirtIncomingMove::LibvirtIncomingMove(std::shared_ptr<LibvirtLink> link, const IncomingOptions& options,
                                         IncomingEvents events, FileDescriptor libvirt, bool was_defined)
    : link_(std::move(link)),
      domain_(options.domain),
      stream_path_(stream_path(options.runtime_directory)),
      events_(std::move(events)),
      libvirt_(std::move(libvirt)),
      was_defined_(was_defined),
      gate_(GateScope{domain_.id, domain_.name, domain_.emulator, "unix://" + stream_path_}),
      thread_([this] { serve(); }) {
}

LibvirtIncomingMove::~LibvirtIncomingMove() {
  close();
}

void LibvirtIncomingMove::serve() {
  name_this_thread("rpc-gate");
  for (;;) {
    auto message = read_rpc_message(libvirt_.get());
    if (!message) return on_disconnected(message.error());
    on_answer(std::move(*message));
  }
}

void LibvirtIncomingMove::on_answer(ByteBuffer message) {
  DestinationGate::Answer answer{};
  {
    const std::lock_guard lock(mutex_);
    answer = gate_.judge(message);
    if (answer == DestinationGate::Answer::prepared) prepare_ = Prepare::done;
    if (answer == DestinationGate::Answer::prepare_failed) prepare_ = Prepare::failed;
    if (answer == DestinationGate::Answer::finished) finish_answer_ = message;
    changed_.notify_all();
    if (closing_) return;
  }
  switch (answer) {
    case DestinationGate::Answer::drop:
    case DestinationGate::Answer::finished: return;
    case DestinationGate::Answer::ping: {
      const std::lock_guard lock(writing_);
      static_cast<void>(write_all(libvirt_.get(), make_pong()));
      return;
    }
    case DestinationGate::Answer::prepared: events_.prepared(); break;
    case DestinationGate::Answer::prepare_failed:
      events_.failed(
          Error{ErrorCode::failed, "libvirt cannot take the VM in: " + parse_error(payload_of(message))});
      break;
    case DestinationGate::Answer::pass: break;
  }
  events_.to_peer(std::move(message));
}

void LibvirtIncomingMove::on_disconnected(const Error& error) {
  {
    const std::lock_guard lock(mutex_);
    lost_ = error.message;
    changed_.notify_all();
    if (closing_) return;
  }
  events_.failed(error.in("libvirt at the destination"));
}

void LibvirtIncomingMove::deliver(PeerMessage message) {
  Result<> admitted;
  const auto header = parse_header(message);
  {
    const std::lock_guard lock(mutex_);
    admitted = closing_ ? fail(ErrorCode::cancelled, "the migration is over") : gate_.admit(message);
    if (admitted && header->procedure == procedure::prepare) prepare_ = Prepare::asked;
  }
  if (admitted) {
    const std::lock_guard lock(writing_);
    admitted = write_all(libvirt_.get(), message);
  }
  if (admitted) return;
  spdlog::warn("{}", admitted.error().message);
  if (header) events_.to_peer(make_error(header->procedure, header->serial, admitted.error().message));
}

Result<FileDescriptor> LibvirtIncomingMove::connect_stream() {
  auto stream = connect_unix(stream_path_);
  // Without it nothing is wrong but the speed.
  if (stream) (void)::setsockopt(stream->get(), SOL_SOCKET, SO_SNDBUFFORCE, &kStreamRoom, sizeof kStreamRoom);
  return stream;
}

FinishAnswer LibvirtIncomingMove::finish(FinishCall call) {
  Result<ByteBuffer> message = fail(ErrorCode::failed, "libvirt was never asked to take the VM in");
  {
    const std::lock_guard lock(mutex_);
    if (prepare_ == Prepare::done) message = gate_.admit_finish(call);
  }
  if (message) {
    const std::lock_guard lock(writing_);
    if (auto written = write_all(libvirt_.get(), *message); !written) message = fail(written.error());
  }
  if (!message) return {false, {}, message.error().message};
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return finish_answer_ || !lost_.empty(); });
  if (!finish_answer_) return {false, {}, lost_};
  ByteBuffer answer = std::move(*finish_answer_);
  lock.unlock();
  return judge_answer(std::move(answer));
}

FinishAnswer LibvirtIncomingMove::judge_answer(ByteBuffer message) {
  const auto header = parse_header(message);
  if (!header || header->status != RpcStatus::ok) {
    std::string reason = parse_error(payload_of(message));
    return {false, std::move(message), std::move(reason),
            "look into QEMU's log there (/var/log/libvirt/qemu)"};
  }
  const auto state = link_->state(domain_.id);
  if (!state) return {false, {}, state.error().message};
  if (*state != DomainState::paused) {
    return {false, {}, fmt::format("libvirt says that the VM was loaded, but it is {}", to_string(*state))};
  }
  return {true, std::move(message), ""};
}

void LibvirtIncomingMove::close() {
  {
    std::unique_lock lock(mutex_);
    closing_ = true;
    changed_.wait_for(lock, kPreparePatience, [&] { return prepare_ != Prepare::asked || !lost_.empty(); });
  }
  shut_down(libvirt_);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !lost_.empty(); });
}

Result<> LibvirtIncomingMove::discard() {
  close();
  {
    const std::lock_guard lock(mutex_);
    if (prepare_ == Prepare::none) return {};
  }
  if (auto removed = remove_domain(); !removed) return removed;
  if (was_defined_) return {};
  return link_->undefine(domain_.id);
}

Result<> LibvirtIncomingMove::remove_domain() {
  Result<> destroyed;
  for (int i = 0; i < kDestroyTries; ++i) {
    const auto state = link_->state(domain_.id);
    if (!state) return fail(state.error());
    if (is_gone(*state)) return {};
    if (*state == DomainState::running) {
      // Nothing of this migration's starts vCPUs before the handover says so.
      return fail(ErrorCode::needs_attention,
                  domain_.name + " runs on this host: somebody else has started it");
    }
    destroyed = link_->destroy(domain_.id);
  }
  const auto state = link_->state(domain_.id);
  if (!state) return fail(state.error());
  if (is_gone(*state)) return {};
  return destroyed ? fail(ErrorCode::failed, domain_.name + " does not go away on this host") : destroyed;
}

}  // namespace vmigrate::hypervisor
