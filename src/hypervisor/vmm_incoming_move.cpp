#include "hypervisor/vmm_incoming_move.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/thread_name.hpp"

namespace vmigrate::hypervisor {
namespace {

// The kernel may have to look for the VM's memory.
constexpr Milliseconds kCreatePatience{20'000};
constexpr const char* kHint = "look at what the VMM there has said, or at its log";

}  // namespace

Result<std::unique_ptr<VmmIncomingMove>> VmmIncomingMove::create(std::shared_ptr<VmmServer> server,
                                                                 std::shared_ptr<Vmm> vmm,
                                                                 vmm::Description description,
                                                                 const IncomingOptions& options,
                                                                 IncomingEvents events) {
  auto listener = vmm::Listener::create(options.runtime_directory + "/ram.sock");
  if (!listener) return fail(listener.error());
  // From here on the move ends the VMM, unless the VM has been loaded.
  auto move = std::unique_ptr<VmmIncomingMove>(
      new VmmIncomingMove(server, vmm, options, std::move(events), std::move(*listener)));
  if (auto taken = server->take_in(vmm, options.domain.id, options.domain.name); !taken)
    return fail(taken.error());
  vmm::Request request;
  *request.mutable_create()->mutable_description() = std::move(description);
  const auto created = vmm->ask(std::move(request), kCreatePatience);
  if (!created) return fail(created.error());
  auto* self = move.get();
  move->stream_thread_ = std::jthread([self] { self->accept_stream(); });
  move->thread_ = std::jthread([self] { self->run(); });
  return move;
}

VmmIncomingMove::VmmIncomingMove(std::shared_ptr<VmmServer> server, std::shared_ptr<Vmm> vmm,
                                 const IncomingOptions& options, IncomingEvents events,
                                 vmm::Listener listener)
    : server_(std::move(server)),
      vmm_(std::move(vmm)),
      name_(options.domain.name),
      path_(options.runtime_directory + "/ram.sock"),
      events_(std::move(events)),
      listener_(std::move(listener)) {
}

VmmIncomingMove::~VmmIncomingMove() {
  bool loaded = false;
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
    loaded = received_ && *received_;
  }
  if (!loaded) {
    if (const auto ended = server_->end(vmm_); !ended) spdlog::error("{}: {}", name_, ended.error().message);
  }
  listener_.close();
}

void VmmIncomingMove::accept_stream() {
  name_this_thread("ram-accept");
  auto stream = listener_.accept();
  if (!stream) return;
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return;
    stream_ = std::move(*stream);
  }
  events_.prepared();
}

void VmmIncomingMove::run() {
  name_this_thread("move-" + name_);
  vmm::Request request;
  request.mutable_receive()->set_socket(path_);
  auto reply = vmm_->ask(std::move(request), std::nullopt);
  {
    const std::lock_guard lock(mutex_);
    received_ = reply;
    changed_.notify_all();
    if (closing_ || reply) return;
  }
  events_.failed(reply.error());
}

void VmmIncomingMove::deliver(PeerMessage) {
  spdlog::warn("{}: the peer has a message for a hypervisor that expects none; ignored", name_);
}

Result<FileDescriptor> VmmIncomingMove::connect_stream() {
  const std::lock_guard lock(mutex_);
  if (!stream_) return fail(ErrorCode::failed, "the VMM has not connected");
  return std::move(stream_);
}

FinishAnswer VmmIncomingMove::finish(FinishCall call) {
  if (call.cancelled) return {false, {}, "cancelled"};
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return received_.has_value(); });
    if (!*received_) return {false, {}, received_->error().message, kHint};
  }
  // It may have been killed since.
  vmm::Request request;
  request.mutable_describe();
  const auto reply = vmm_->ask(std::move(request), kAnswerPatience);
  if (!reply) return {false, {}, reply.error().message, kHint};
  if (reply->state() != vmm::PAUSED)
    return {false, {}, "the VM was loaded and does not wait to be run", kHint};
  return {true, copy_of(as_byte_view((*received_)->SerializeAsString())), ""};
}

Result<> VmmIncomingMove::discard() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  return server_->end(vmm_);
}

}  // namespace vmigrate::hypervisor
