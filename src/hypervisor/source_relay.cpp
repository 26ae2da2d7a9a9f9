#include "hypervisor/source_relay.hpp"

#include "base/logging.hpp"
#include "base/thread_name.hpp"

namespace vmigrate::hypervisor {

bool agree(ByteBuffer& message, Verdict verdict) {
  const auto header = parse_header(message);
  if (!header) return false;
  if (header->program != kRemoteProgram || header->procedure != procedure::confirm) return true;
  if (verdict == Verdict::pending) return false;
  set_cancelled(message, verdict != Verdict::loaded);
  return true;
}

Result<std::unique_ptr<SourceRelay>> SourceRelay::create(const std::string& path,
                                                         const std::string& libvirt_socket) {
  auto listener = UnixListener::create(path);
  if (!listener) return fail(listener.error());
  auto libvirt = connect_unix(libvirt_socket);
  if (!libvirt) return fail(libvirt.error());
  auto relay = std::unique_ptr<SourceRelay>(new SourceRelay(std::move(*listener), std::move(*libvirt)));
  relay->thread_ = std::jthread([raw = relay.get()] { raw->serve(); });
  return relay;
}

SourceRelay::~SourceRelay() {
  cut();
}

void SourceRelay::set_verdict(Verdict verdict) {
  const std::lock_guard lock(mutex_);
  verdict_ = verdict;
}

void SourceRelay::cut() {
  const std::lock_guard lock(mutex_);
  cut_ = true;
  listener_.close();
  shut_down(client_);
  shut_down(libvirt_);
}

void SourceRelay::serve() {
  name_this_thread("source-relay");
  auto client = listener_.accept();
  if (!client || !is_own_process(client->get())) return cut();
  const int socket = client->get();
  {
    const std::lock_guard lock(mutex_);
    if (cut_) return;
    client_ = std::move(*client);
  }
  answers_thread_ = std::jthread([this] { carry_answers(); });
  for (;;) {
    auto message = read_rpc_message(socket);
    if (!message || !forward(std::move(*message))) return cut();
  }
}

bool SourceRelay::forward(ByteBuffer message) {
  Verdict verdict;
  {
    const std::lock_guard lock(mutex_);
    if (cut_) return false;
    verdict = verdict_;
  }
  if (!agree(message, verdict)) {
    spdlog::warn("kept libvirt's client from deciding over a VM that is being handed over");
    return false;
  }
  return write_all(libvirt_.get(), message).has_value();
}

void SourceRelay::carry_answers() {
  name_this_thread("source-relay");
  for (;;) {
    const auto message = read_rpc_message(libvirt_.get());
    if (!message || !write_all(client_.get(), *message)) return cut();
  }
}

}  // namespace vmigrate::hypervisor
