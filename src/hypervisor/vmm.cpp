#include "hypervisor/vmm.hpp"

#include <chrono>

#include <fmt/format.h>

#include "vmm/frames.hpp"

namespace vmigrate::hypervisor {

VmmRecord Vmm::record() const {
  const std::lock_guard lock(mutex_);
  return record_;
}

void Vmm::set_record(VmmRecord record) {
  const std::lock_guard lock(mutex_);
  record_ = std::move(record);
}

bool Vmm::is_connected() const {
  const std::lock_guard lock(mutex_);
  return static_cast<bool>(socket_);
}

int Vmm::socket() const {
  const std::lock_guard lock(mutex_);
  return socket_.get();
}

Error Vmm::gone() const {
  return {ErrorCode::unreachable,
          fmt::format("the VMM of {} (process {}) does not answer",
                      record_.name.empty() ? "no VM" : record_.name, record_.process.pid),
          "look what has become of that process"};
}

Result<vmm::Reply> Vmm::ask(vmm::Request request, std::optional<Milliseconds> patience) {
  std::unique_lock lock(mutex_);
  const auto deadline = std::chrono::steady_clock::now() + patience.value_or(Milliseconds{});
  // After a restart of the daemon VMMs come back within moments.
  changed_.wait_until(lock, deadline, [&] { return socket_ || process_.has_ended(); });
  if (!socket_) return fail(gone());
  const auto number = ++last_number_;
  request.set_number(number);
  vmm::ToVmm message;
  *message.mutable_request() = std::move(request);
  if (auto written = vmm::write_message(socket_.get(), message); !written) {
    // Half a message may have gone out, behind which nothing is understood.
    lose_connection();
    return fail(gone());
  }
  const auto asked = asked_.emplace(number, std::nullopt).first;
  const auto answered = [&] { return asked->second.has_value(); };
  if (patience)
    changed_.wait_until(lock, deadline, answered);
  else
    changed_.wait(lock, answered);
  auto reply = asked->second.value_or(fail(gone()));
  asked_.erase(asked);
  if (!reply) return reply;
  if (reply->has_error()) return fail(vmm::from_proto(reply->error()));
  return reply;
}

void Vmm::watch_progress(std::function<void(const vmm::Progress&)> watcher) {
  const std::lock_guard lock(progress_mutex_);
  progress_watcher_ = std::move(watcher);
}

void Vmm::connect(FileDescriptor socket) {
  const std::lock_guard lock(mutex_);
  lose_connection();
  socket_ = std::move(socket);
  changed_.notify_all();
}

void Vmm::disconnect() {
  const std::lock_guard lock(mutex_);
  lose_connection();
}

void Vmm::lose_connection() {
  socket_.reset();
  for (auto& [number, reply] : asked_) {
    if (!reply) reply = fail(gone());
  }
  changed_.notify_all();
}

void Vmm::take(const vmm::FromVmm& message) {
  if (message.has_event() && message.event().has_progress()) {
    const std::lock_guard lock(progress_mutex_);
    if (progress_watcher_) progress_watcher_(message.event().progress());
  }
  if (!message.has_reply()) return;
  const std::lock_guard lock(mutex_);
  const auto asked = asked_.find(message.reply().number());
  if (asked == asked_.end() || asked->second) return;  // nobody waits for it any more
  asked->second = message.reply();
  changed_.notify_all();
}

}  // namespace vmigrate::hypervisor
