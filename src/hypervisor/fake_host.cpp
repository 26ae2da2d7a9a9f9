#include "hypervisor/fake_host.hpp"

#include <cerrno>
#include <sstream>
#include <system_error>

#include <sys/socket.h>

namespace vmigrate::hypervisor {

void FakeHost::change_state(DomainDescription& domain, DomainState state) {
  domain.state = state;
  if (state == DomainState::running) {
    world_->runs(name_, domain.id);
  } else {
    world_->stops(name_, domain.id);
  }
}

void FakeHost::put(const DomainDescription& domain) {
  const std::lock_guard lock(mutex_);
  change_state(domains_[domain.id] = domain, domain.state);
}

void FakeHost::set_state(const VmId& vm, DomainState state) {
  const std::lock_guard lock(mutex_);
  const auto found = domains_.find(vm);
  if (found != domains_.end()) change_state(found->second, state);
}

void FakeHost::end(const VmId& vm) {
  const std::lock_guard lock(mutex_);
  const auto found = domains_.find(vm);
  if (found == domains_.end()) return;
  change_state(found->second, DomainState::shut_off);
  if (!found->second.persistent) domains_.erase(found);
}

void FakeHost::remove(const VmId& vm) {
  const std::lock_guard lock(mutex_);
  world_->stops(name_, vm);
  domains_.erase(vm);
}

void FakeHost::set_persistent(const VmId& vm, bool persistent) {
  const std::lock_guard lock(mutex_);
  const auto found = domains_.find(vm);
  if (found != domains_.end()) found->second.persistent = persistent;
}

std::optional<DomainDescription> FakeHost::find(const VmId& vm) const {
  const std::lock_guard lock(mutex_);
  const auto found = domains_.find(vm);
  if (found == domains_.end()) return std::nullopt;
  return found->second;
}

std::vector<DomainDescription> FakeHost::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<DomainDescription> domains;
  for (const auto& [id, domain] : domains_) domains.push_back(domain);
  return domains;
}

FakeStream FakeHost::stream() const {
  const std::lock_guard lock(mutex_);
  return stream_;
}

void FakeHost::set_stream(FakeStream stream) {
  const std::lock_guard lock(mutex_);
  stream_ = std::move(stream);
}

std::vector<Finding> FakeHost::findings(bool incoming) const {
  const std::lock_guard lock(mutex_);
  return incoming ? incoming_findings_ : outgoing_findings_;
}

void FakeHost::set_findings(std::vector<Finding> outgoing, std::vector<Finding> incoming) {
  const std::lock_guard lock(mutex_);
  outgoing_findings_ = std::move(outgoing);
  incoming_findings_ = std::move(incoming);
}

Milliseconds FakeHost::max_pause() const {
  const std::lock_guard lock(mutex_);
  return max_pause_;
}

void FakeHost::set_max_pause(Milliseconds pause) {
  const std::lock_guard lock(mutex_);
  max_pause_ = pause;
}

Percent FakeHost::slowdown() const {
  const std::lock_guard lock(mutex_);
  return slowdown_;
}

void FakeHost::set_slowdown(Percent slowdown) {
  const std::lock_guard lock(mutex_);
  slowdown_ = slowdown;
}

void FakeHost::make_busy() {
  const std::lock_guard lock(mutex_);
  busy_ = true;
}

std::uint32_t FakeHost::next_pass() {
  const std::lock_guard lock(mutex_);
  return busy_ ? ++pass_ : 1;
}

void FakeHost::watch_death(const VmId& vm, std::function<void()> handler) {
  const std::lock_guard lock(death_mutex_);
  death_watches_[vm] = std::move(handler);
}

void FakeHost::unwatch_death(const VmId& vm) {
  const std::lock_guard lock(death_mutex_);
  death_watches_.erase(vm);
}

void FakeHost::kill(const VmId& vm) {
  end(vm);
  const std::lock_guard lock(death_mutex_);
  const auto found = death_watches_.find(vm);
  if (found != death_watches_.end()) found->second();
}

PeerMessage FakePrepare::to_message() const {
  std::ostringstream text;
  text << "prepare\n" << vm.text() << '\n' << bytes << '\n' << hash << '\n' << persistent << '\n';
  return copy_of(as_byte_view(text.str()));
}

std::optional<FakePrepare> FakePrepare::from_message(const PeerMessage& message) {
  std::istringstream text{std::string(as_text(message))};
  std::string word;
  std::string id;
  FakePrepare prepare;
  text >> word >> id >> prepare.bytes >> prepare.hash >> prepare.persistent;
  const auto vm = VmId::parse(id);
  if (!text || word != "prepare" || !vm) return std::nullopt;
  prepare.vm = *vm;
  return prepare;
}

std::pair<FileDescriptor, FileDescriptor> make_socket_pair() {
  int ends[2] = {-1, -1};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw std::system_error(errno, std::generic_category(), "socketpair");
  }
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

}  // namespace vmigrate::hypervisor
