#include "hypervisor/event_loop.hpp"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include "base/logging.hpp"
#include "base/thread_name.hpp"
#include "hypervisor/libvirt_handles.hpp"

namespace vmigrate::hypervisor {
namespace {

/// libvirt prints every error of its own to standard error unless told otherwise; ours are told once, at the
/// edge.
void log_quietly(void* /*unused*/, virErrorPtr error) {
  spdlog::debug("libvirt: {}",
                error != nullptr && error->message != nullptr ? error->message : "unknown error");
}

}  // namespace

Result<std::unique_ptr<EventLoop>> EventLoop::create() {
  ::virSetErrorFunc(nullptr, &log_quietly);
  if (::virInitialize() != 0 || ::virEventRegisterDefaultImpl() != 0)
    return fail(libvirt_error("starting libvirt"));
  auto loop = std::unique_ptr<EventLoop>(new EventLoop());
  loop->thread_ = std::jthread([raw = loop.get()] { raw->run(); });
  return loop;
}

void EventLoop::run() const {
  name_this_thread("libvirt-events");
  while (!stopping_) ::virEventRunDefaultImpl();
}

EventLoop::~EventLoop() {
  stopping_ = true;
  // Wakes the loop up, which then sees that it is to end.
  ::virEventAddTimeout(
      0, [](int timer, void* /*unused*/) { ::virEventRemoveTimeout(timer); }, nullptr, nullptr);
}

}  // namespace vmigrate::hypervisor
