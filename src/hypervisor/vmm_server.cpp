#include "hypervisor/vmm_server.hpp"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include "base/thread_name.hpp"

namespace vmigrate::hypervisor {
namespace {

// One that has just got a VM is followed by the next.
constexpr std::chrono::seconds kArrivalPatience{2};
constexpr std::size_t kMostNewcomers = 64;

bool is_name(const std::string& text) {
  return !text.empty() && text.size() <= vmm::kLongestName &&
         std::ranges::none_of(text, [](unsigned char letter) { return std::iscntrl(letter) != 0; });
}

Result<> check(const vmm::Hello& hello) {
  if (hello.version() != vmm::kVersion) {
    return fail(ErrorCode::refused,
                fmt::format("migrated speaks version {} of the protocol for VMMs, not {}", vmm::kVersion,
                            hello.version()),
                "use the same version of vmigrate for both");
  }
  if (!is_name(hello.kind())) return fail(ErrorCode::usage, "a VMM says which it is");
  if (hello.vm().empty()) return {};
  if (!VmId::parse(hello.vm()) || !is_name(hello.name()))
    return fail(ErrorCode::usage, "a VM has a UUID and a name");
  return {};
}

std::string in_words(const VmmRecord& record) {
  return record.id.empty()
             ? fmt::format("a {} that waits for a VM (process {})", record.kind, record.process.pid)
             : fmt::format("the {} of {} (process {})", record.kind, record.name, record.process.pid);
}

}  // namespace

Result<std::unique_ptr<VmmServer>> VmmServer::create(const std::string& socket, const std::string& books,
                                                     Veto veto, Milliseconds hello_patience) {
  auto opened = VmmBooks::open(books);
  if (!opened) return fail(opened.error());
  auto listener = vmm::Listener::create(socket);
  if (!listener) return fail(listener.error());
  FileDescriptor wakeup(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wakeup) return fail_errno("making an event", errno);
  auto server = std::unique_ptr<VmmServer>(new VmmServer(std::move(*listener), std::move(*opened),
                                                         std::move(wakeup), std::move(veto), hello_patience));
  if (auto recalled = server->recall(); !recalled) return fail(recalled.error());
  server->thread_ = std::jthread([raw = server.get()](const std::stop_token& stop) { raw->run(stop); });
  return server;
}

VmmServer::~VmmServer() {
  thread_.request_stop();
  ::eventfd_write(wakeup_.get(), 1);
  thread_ = {};
  for (auto& known : known_) known.vmm->disconnect();
}

Result<> VmmServer::recall() {
  const auto records = books_.read();
  if (!records) return fail(records.error());
  for (const auto& record : *records) {
    auto process = VmmProcess::find(record.process);
    if (!process) return fail(process.error());
    if (*process) {
      known_.push_back({std::make_shared<Vmm>(record, std::move(**process))});
    } else {
      books_.remove(record.id);
    }
  }
  return {};
}

// --- Who is there
// -------------------------------------------------------------------------------------------

std::vector<std::shared_ptr<Vmm>> VmmServer::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Vmm>> result;
  for (const auto& known : known_) {
    if (!known.vmm->record().id.empty() && !known.vmm->process().has_ended()) result.push_back(known.vmm);
  }
  return result;
}

std::shared_ptr<Vmm> VmmServer::find(const VmId& id) const {
  for (auto& vmm : all()) {
    if (vmm->record().id == id) return vmm;
  }
  return nullptr;
}

std::shared_ptr<Vmm> VmmServer::borrow(const std::string& kind) {
  std::unique_lock lock(mutex_);
  Known* found = nullptr;
  arrived_.wait_for(lock, kArrivalPatience, [&] {
    const auto free = std::ranges::find_if(known_, [&](const Known& known) {
      const auto record = known.vmm->record();
      return record.id.empty() && record.kind == kind && !known.borrowed && known.vmm->is_connected();
    });
    found = free == known_.end() ? nullptr : &*free;
    return found != nullptr;
  });
  if (found == nullptr) return nullptr;
  found->borrowed = true;
  return found->vmm;
}

void VmmServer::give_back(const std::shared_ptr<Vmm>& vmm) {
  const std::lock_guard lock(mutex_);
  for (auto& known : known_) {
    if (known.vmm == vmm) known.borrowed = false;
  }
  arrived_.notify_all();
}

Result<> VmmServer::take_in(const std::shared_ptr<Vmm>& vmm, const VmId& id, const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto record = vmm->record();
  record.id = id;
  record.name = name;
  // Somebody may have started it by hand since it was asked for.
  drop_ended();
  if (auto checked = check_place(record); !checked) return checked;
  if (auto written = books_.write(record); !written) return written;
  vmm->set_record(std::move(record));
  return {};
}

Result<> VmmServer::end(const std::shared_ptr<Vmm>& vmm) {
  if (auto killed = vmm->process().kill(); !killed) return killed;
  forget(vmm);
  return {};
}

void VmmServer::forget(const std::shared_ptr<Vmm>& vmm) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(known_, [&](const Known& known) { return known.vmm == vmm; });
  if (found == known_.end()) return;
  const auto record = vmm->record();
  if (!record.id.empty()) books_.remove(record.id);
  vmm->disconnect();
  known_.erase(found);
}

// --- The thread
// ---------------------------------------------------------------------------------------------

void VmmServer::run(const std::stop_token& stop) {
  name_this_thread("vmms");
  while (!stop.stop_requested()) {
    wait_for_anything();
    take_newcomers();
    std::erase_if(newcomers_, [this](Newcomer& newcomer) { return !hear(newcomer); });
    {
      const std::lock_guard lock(mutex_);
      for (auto& known : known_) hear(known);
    }
    see_ended();
  }
}

void VmmServer::wait_for_anything() {
  std::vector<pollfd> files{{listener_.file(), POLLIN, 0}, {wakeup_.get(), POLLIN, 0}};
  for (const auto& newcomer : newcomers_) files.push_back({newcomer.socket.get(), POLLIN, 0});
  {
    const std::lock_guard lock(mutex_);
    for (const auto& known : known_) {
      files.push_back({known.vmm->socket(), POLLIN, 0});
      files.push_back({known.vmm->process().file(), POLLIN, 0});
    }
  }
  const auto deadline = newcomers_.empty() ? std::nullopt : std::optional(newcomers_.front().deadline);
  ::poll(files.data(), files.size(), milliseconds_until(deadline));
}

void VmmServer::take_newcomers() {
  pollfd waiting{listener_.file(), POLLIN, 0};
  while (::poll(&waiting, 1, 0) == 1 && waiting.revents == POLLIN) {
    auto socket = listener_.accept();
    if (!socket) return;
    // Whoever is there for longest and has said nothing makes room: a VMM says who it is at once.
    if (newcomers_.size() == kMostNewcomers) {
      hear(newcomers_.front());
      newcomers_.pop_front();
    }
    newcomers_.push_back({std::move(*socket), std::chrono::steady_clock::now() + hello_patience_});
  }
}

bool VmmServer::hear(Newcomer& newcomer) {
  const auto open = newcomer.frames.read_available(newcomer.socket.get());
  const auto message = newcomer.frames.next<vmm::FromVmm>();
  if (!message || !open) return false;
  // One that has gone is not registered: its number may be another process's by now.
  if (!*open) return false;
  if (!*message) return std::chrono::steady_clock::now() < newcomer.deadline;
  const auto registered = register_vmm((*message)->hello(), newcomer);
  if (registered) return false;
  spdlog::warn("a VMM is turned away: {}", registered.error().message);
  vmm::ToVmm refusal;
  *refusal.mutable_refusal() = vmm::to_proto(registered.error());
  (void)vmm::write_message(newcomer.socket.get(), refusal);
  return false;
}

Result<> VmmServer::register_vmm(const vmm::Hello& hello, Newcomer& newcomer) {
  if (auto checked = check(hello); !checked) return checked;
  auto process = VmmProcess::of_peer(newcomer.socket.get());
  if (!process) return fail(process.error());
  const std::lock_guard lock(mutex_);
  const auto known = place_for(hello, std::move(*process));
  if (!known) return fail(known.error());
  // First of all: whoever waits for this VMM asks it as soon as it is connected. One that has gone already is
  // seen to afterwards.
  vmm::ToVmm welcome;
  welcome.mutable_welcome();
  (void)vmm::write_message(newcomer.socket.get(), welcome);
  (*known)->frames = std::move(newcomer.frames);
  const auto& vmm = (*known)->vmm;
  vmm->connect(std::move(newcomer.socket));
  spdlog::info("{} has registered", in_words(vmm->record()));
  arrived_.notify_all();
  return {};
}

/// A VM that is known comes back with its own process, and with no other as long as that lives.
Result<VmmServer::Known*> VmmServer::place_for(const vmm::Hello& hello, VmmProcess process) {
  VmmRecord record;
  record.kind = hello.kind();
  record.process = process.identity();
  if (!hello.vm().empty()) {
    record.id = *VmId::parse(hello.vm());
    record.name = hello.name();
  }
  drop_ended();
  if (record.id.empty()) {
    // By its own word it has no VM, whatever it was about to get.
    std::erase_if(known_, [&](const Known& known) {
      const auto there = known.vmm->record();
      if (there.process != record.process) return false;
      if (!there.id.empty()) books_.remove(there.id);
      known.vmm->disconnect();
      return true;
    });
  } else {
    for (auto& known : known_) {
      const auto there = known.vmm->record();
      if (there.id == record.id && there.process == record.process) return &known;
    }
    if (auto checked = check_place(record); !checked) return fail(checked.error());
    if (auto veto = veto_(record.id)) return fail(std::move(*veto));
    if (auto written = books_.write(record); !written) return fail(written.error());
  }
  return &known_.emplace_back(Known{std::make_shared<Vmm>(std::move(record), std::move(process))});
}

/// A VM, a name and a process are in one record at most.
Result<> VmmServer::check_place(const VmmRecord& record) const {
  for (const auto& known : known_) {
    const auto there = known.vmm->record();
    if (there.id.empty()) continue;
    if (there.process == record.process) {
      return fail(ErrorCode::refused, fmt::format("process {} has {} already", there.process.pid, there.name),
                  "a process has one VM: to end that, the process is ended");
    }
    if (there.id == record.id || there.name == record.name) {
      return fail(ErrorCode::refused,
                  fmt::format("{} is a VM of process {} already", there.name, there.process.pid),
                  "a VM runs once: find out why there are two");
    }
  }
  return {};
}

/// Before a successor is put on record.
void VmmServer::drop_ended() {
  std::erase_if(known_, [&](const Known& known) {
    if (!known.vmm->process().has_ended()) return false;
    const auto there = known.vmm->record();
    if (!there.id.empty()) books_.remove(there.id);
    known.vmm->disconnect();
    return true;
  });
}

void VmmServer::hear(Known& known) {
  const int socket = known.vmm->socket();
  if (socket < 0) return;
  const auto open = known.frames.read_available(socket);
  for (;;) {
    const auto message = known.frames.next<vmm::FromVmm>();
    if (!message || (!*message && (!open || !*open))) {
      spdlog::warn("{} has closed its connection", in_words(known.vmm->record()));
      known.frames = {};
      return known.vmm->disconnect();
    }
    if (!*message) return;
    known.vmm->take(**message);
  }
}

void VmmServer::see_ended() {
  std::vector<std::shared_ptr<Vmm>> ended;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& known : known_) {
      const bool waits = known.vmm->record().id.empty();
      if (known.vmm->process().has_ended() || (waits && !known.vmm->is_connected()))
        ended.push_back(known.vmm);
    }
  }
  for (const auto& vmm : ended) {
    spdlog::info("{} has gone", in_words(vmm->record()));
    forget(vmm);
  }
}

}  // namespace vmigrate::hypervisor
