// One host's half of a move, for tests: a LibvirtHypervisor that does what standard input says, line by line,
// and tells what happens on standard output. Two of them, one in each host's namespaces, are joined by a Unix
// socket that both can see, so that a test holds every single step in its hands.
//
//   host_agent LIBVIRT_SOCKET LINK_SOCKET RUNTIME_DIRECTORY
//
// Frames between the two: length (4 bytes, native), kind (1 byte), payload. Memory has a connection of its
// own.

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/logging.hpp"
#include "hypervisor/domain_xml.hpp"
#include "hypervisor/libvirt_hypervisor.hpp"
#include "hypervisor/unix_socket.hpp"

namespace vmigrate::hypervisor {
namespace {

void tell(const std::string& line) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  std::cout << line << std::endl;
}

std::string text_of(const Result<>& result) {
  return result ? "ok" : fmt::format("error {} {}", to_string(result.error().code), result.error().message);
}

void carry(int from, int to) {
  std::array<std::byte, 65536> chunk;
  for (;;) {
    const auto count = ::recv(from, chunk.data(), chunk.size(), 0);
    if (count <= 0 || !write_all(to, ByteView(chunk).first(static_cast<std::size_t>(count)))) break;
  }
  ::shutdown(to, SHUT_WR);
}

/// Carries QEMU's stream and its return path until both have ended. Cut when the agent's move is dropped.
class StreamCarrier {
 public:
  StreamCarrier(FileDescriptor qemu, FileDescriptor peer) : qemu_(std::move(qemu)), peer_(std::move(peer)) {
    forth_ = std::jthread([this] { carry(qemu_.get(), peer_.get()); });
    back_ = std::jthread([this] { carry(peer_.get(), qemu_.get()); });
  }
  ~StreamCarrier() {
    shut_down(qemu_);
    shut_down(peer_);
  }

 private:
  FileDescriptor qemu_;
  FileDescriptor peer_;
  std::jthread forth_;
  std::jthread back_;
};

class Agent {
 public:
  Agent(EventLoop& loop, const std::string& socket, std::string link, std::string runtime)
      : hypervisor_(loop, LibvirtOptions{socket, "", true, [] { tell("connection-lost"); }}),
        link_(std::move(link)),
        runtime_(std::move(runtime)) {}
  ~Agent() {
    shut_down(peer_);
    if (listener_) listener_->close();
    if (ram_listener_) ram_listener_->close();
  }

  bool execute(const std::string& line);

 private:
  // The link to the other agent.
  void listen();
  void connect();
  void read_frames();
  void on_frame(char kind, ByteBuffer payload);
  void send(char kind, ByteView payload);
  void accept_memory();

  // Commands.
  void check(const std::string& name);
  void begin_outgoing(const std::string& name, bool keep);
  void begin_incoming();
  void finish(bool cancelled);
  void show_progress();
  void carry_stream();
  void pretend(const std::string& field, const std::string& value);

  LibvirtHypervisor hypervisor_;
  const std::string link_;
  const std::string runtime_;
  std::optional<UnixListener> listener_;
  std::optional<UnixListener> ram_listener_;
  FileDescriptor peer_;
  std::mutex sending_;

  FileDescriptor stream_;
  std::atomic<bool> hold_stream_ = false;

  DomainDescription domain_;
  FinishCall finish_;
  FinishAnswer answer_;
  std::unique_ptr<OutgoingMove> outgoing_;
  std::unique_ptr<IncomingMove> incoming_;
  std::unique_ptr<StreamCarrier> carrier_;
  std::jthread ram_thread_;
  std::jthread reader_;
};

void Agent::listen() {
  listener_.emplace(UnixListener::create(link_).value());
  ram_listener_.emplace(UnixListener::create(link_ + ".ram").value());
  tell("listening");
  peer_ = listener_->accept().value();
  reader_ = std::jthread([this] { read_frames(); });
  ram_thread_ = std::jthread([this] { accept_memory(); });
  tell("joined");
}

void Agent::connect() {
  peer_ = connect_unix(link_).value();
  reader_ = std::jthread([this] { read_frames(); });
  tell("joined");
}

void Agent::accept_memory() {
  auto peer = ram_listener_->accept();
  if (!peer) return;
  auto qemu = incoming_->connect_stream();
  if (!qemu) return tell("stream error " + qemu.error().message);
  carrier_ = std::make_unique<StreamCarrier>(std::move(*qemu), std::move(*peer));
  tell("stream");
}

void Agent::send(char kind, ByteView payload) {
  const std::lock_guard lock(sending_);
  ByteBuffer frame(5);
  const auto size = static_cast<std::uint32_t>(payload.size());
  std::memcpy(frame.data(), &size, sizeof(size));
  frame[4] = static_cast<std::byte>(kind);
  frame.insert(frame.end(), payload.begin(), payload.end());
  static_cast<void>(write_all(peer_.get(), frame));
}

void Agent::read_frames() {
  std::array<std::byte, 5> head;
  while (::recv(peer_.get(), head.data(), head.size(), MSG_WAITALL) == static_cast<ssize_t>(head.size())) {
    std::uint32_t size = 0;
    std::memcpy(&size, head.data(), sizeof(size));
    ByteBuffer payload(size);
    if (size > 0 && ::recv(peer_.get(), payload.data(), size, MSG_WAITALL) != static_cast<ssize_t>(size))
      break;
    on_frame(static_cast<char>(head[4]), std::move(payload));
  }
  tell("peer-gone");
}

void Agent::on_frame(char kind, ByteBuffer payload) {
  switch (kind) {
    case 'o': {  // offer: the XML, and a line with each disk's identity
      std::istringstream text{std::string(as_text(payload))};
      std::string xml;
      std::getline(text, xml, '\0');
      domain_ = parse_domain(xml).value();
      domain_.migratable_xml = xml;
      for (Disk& disk : domain_.disks) std::getline(text, disk.identity);
      return tell("offered " + domain_.name);
    }
    case 'm': {
      if (outgoing_) return outgoing_->deliver(std::move(payload));
      if (incoming_) return incoming_->deliver(std::move(payload));
      return;
    }
    case 'f':
    case 'F': finish_ = FinishCall{kind == 'F', std::move(payload)}; return tell("finish-received");
    case 'a': answer_ = FinishAnswer{true, std::move(payload), ""}; return tell("answer-received loaded");
    case 'n':
      answer_ = FinishAnswer{false, {}, std::string(as_text(payload))};
      return tell("answer-received failed");
    default: return;
  }
}

void Agent::check(const std::string& name) {
  auto described = hypervisor_.describe(name);
  if (!described) return tell("described " + text_of(fail(described.error())));
  domain_ = std::move(*described);
  tell(fmt::format("described {} {} {} persistent={} machine={} memory={} disks={} interfaces={}",
                   domain_.name, domain_.id.text(), to_string(domain_.state), domain_.persistent,
                   domain_.machine, domain_.memory.count, domain_.disks.size(), domain_.interfaces.size()));
  for (const auto& interface : domain_.interfaces) {
    tell(fmt::format("interface {} {} {} {}", interface.mac, to_string(interface.kind), interface.link,
                     interface.tap));
  }
  const auto findings = hypervisor_.check_outgoing(domain_).value();
  for (const Finding& finding : findings) tell("finding " + finding.what);
  tell("checked");
  if (!peer_) return;
  std::string offer = domain_.migratable_xml + '\0';
  for (const Disk& disk : domain_.disks) offer += disk.identity + "\n";
  send('o', as_byte_view(offer));
}

void Agent::begin_outgoing(const std::string& name, bool keep) {
  // As the daemon does, which moves what it has checked: the proof of its storage goes with that.
  if (domain_.name != name) domain_ = hypervisor_.describe(name).value();
  OutgoingOptions options;
  options.runtime_directory = runtime_;
  options.keep_source_definition = keep;
  OutgoingEvents events;
  events.to_peer = [this](const PeerMessage& message) { send('m', message); };
  events.stream_connected = [this](FileDescriptor qemu) {
    stream_ = std::move(qemu);
    if (!hold_stream_) carry_stream();
    tell("stream");
  };
  events.finish_requested = [this](FinishCall call) {
    finish_ = std::move(call);
    tell(finish_.cancelled ? "finish-requested cancelled" : "finish-requested");
  };
  events.ended = [](const Result<>& result) { tell("ended " + text_of(result)); };
  auto move = hypervisor_.begin_outgoing(domain_, options, std::move(events));
  if (!move) return tell("begun " + text_of(fail(move.error())));
  outgoing_ = std::move(*move);
  outgoing_->start();
  tell("begun ok");
}

void Agent::begin_incoming() {
  IncomingEvents events;
  events.to_peer = [this](const PeerMessage& message) { send('m', message); };
  events.prepared = [] { tell("prepared"); };
  events.failed = [](const Error& error) { tell("failed " + error.message); };
  auto move = hypervisor_.begin_incoming({runtime_, domain_}, std::move(events));
  if (!move) return tell("begun " + text_of(fail(move.error())));
  incoming_ = std::move(*move);
  tell("begun ok");
}

void Agent::finish(bool cancelled) {
  finish_.cancelled = finish_.cancelled || cancelled;
  answer_ = incoming_->finish(finish_);
  tell(answer_.loaded ? "finished loaded" : "finished failed " + answer_.reason);
}

void Agent::carry_stream() {
  auto peer = connect_unix(link_ + ".ram");
  if (!peer) return tell("stream error " + peer.error().message);
  carrier_ = std::make_unique<StreamCarrier>(std::move(stream_), std::move(*peer));
}

/// Changes what the offered VM is said to be.
void Agent::pretend(const std::string& field, const std::string& value) {
  if (field == "machine") domain_.machine = value;
  if (field == "emulator") domain_.emulator = value;
  if (field == "gibibytes") domain_.memory = Bytes{std::stoull(value) << 30};
  if (field == "accelerated") domain_.accelerated = value == "true";
}

void Agent::show_progress() {
  const auto progress = outgoing_->progress();
  if (!progress) return tell("progress " + text_of(fail(progress.error())));
  tell(fmt::format("progress total={} processed={} remaining={} pass={}", progress->total.count,
                   progress->processed.count, progress->remaining.count, progress->pass));
}

bool Agent::execute(const std::string& line) {
  std::istringstream words(line);
  std::string command;
  std::string argument;
  std::string value;
  words >> command >> argument >> value;
  const auto vm = VmId::parse(argument).value_or(domain_.id);
  const std::map<std::string, std::function<void()>> commands{
      {"listen", [&] { listen(); }},
      {"connect", [&] { connect(); }},
      {"version", [&] { tell("version " + hypervisor_.version().value_or("unknown")); }},
      {"check", [&] { check(argument); }},
      {"check-incoming",
       [&] {
         const auto findings = hypervisor_.check_incoming(domain_).value();
         for (const Finding& finding : findings) tell("finding " + finding.what);
         tell("checked");
       }},
      {"outgoing", [&] { begin_outgoing(argument, false); }},
      {"outgoing-keep", [&] { begin_outgoing(argument, true); }},
      {"incoming", [&] { begin_incoming(); }},
      {"send-finish", [&] { send(finish_.cancelled ? 'F' : 'f', finish_.message); }},
      {"finish", [&] { finish(false); }},
      {"finish-cancelled", [&] { finish(true); }},
      {"send-answer",
       [&] {
         send(answer_.loaded ? 'a' : 'n',
              answer_.loaded ? ByteView(answer_.message) : as_byte_view(answer_.reason));
       }},
      {"answer", [&] { outgoing_->answer_finish(answer_); }},
      {"answer-garbled",
       [&] {
         outgoing_->answer_finish({true, ByteBuffer(100), ""});
       }},
      {"answer-failed",
       [&] {
         outgoing_->answer_finish({false, {}, "the test says no"});
       }},
      {"abort",
       [&] {
         outgoing_->abort();
         tell("aborted");
       }},
      {"hold-stream", [&] { hold_stream_ = true; }},
      {"release-stream", [&] { carry_stream(); }},
      {"cut-stream",
       [&] {
         carrier_.reset();
         stream_.reset();
       }},
      {"pretend", [&] { pretend(argument, value); }},
      {"list",
       [&] {
         for (const auto& vm_here : hypervisor_.list().value_or(std::vector<DomainSummary>{})) {
           tell(fmt::format("listed {} {}", vm_here.name, to_string(vm_here.state)));
         }
         tell("listed all");
       }},
      {"progress", [&] { show_progress(); }},
      {"max-pause",
       [&] { tell("max-pause " + text_of(outgoing_->set_max_pause(Milliseconds(std::stol(argument))))); }},
      {"discard", [&] { tell("discarded " + text_of(incoming_->discard())); }},
      {"drop",
       [&] {
         carrier_.reset();
         stream_.reset();
         outgoing_.reset();
         incoming_.reset();
         tell("dropped");
       }},
      {"state", [&] { tell(fmt::format("state {}", to_string(hypervisor_.state(vm).value()))); }},
      {"resume", [&] { tell("resumed " + text_of(hypervisor_.resume(vm))); }},
      {"destroy", [&] { tell("destroyed " + text_of(hypervisor_.destroy(vm))); }},
      {"undefine", [&] { tell("undefined " + text_of(hypervisor_.undefine(vm))); }},
  };
  const auto found = commands.find(command);
  if (found == commands.end()) return false;
  found->second();
  return true;
}

}  // namespace
}  // namespace vmigrate::hypervisor

int main(int argc, char** argv) {
  using namespace vmigrate;
  if (argc != 4 || !set_up_logging("debug", false)) return 2;
  // As the daemon does: libvirt's client writes with write(), also to a connection that was cut under it.
  std::signal(SIGPIPE, SIG_IGN);
  const auto loop = hypervisor::EventLoop::create().value();
  hypervisor::Agent agent(*loop, argv[1], argv[2], argv[3]);
  for (std::string line; std::getline(std::cin, line);) {
    if (!agent.execute(line)) return 2;
  }
  return 0;
}
