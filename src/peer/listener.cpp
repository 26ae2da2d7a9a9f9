#include "peer/listener.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/text.hpp"
#include "base/thread_name.hpp"
#include "peer/tcp.hpp"
#include "peer/tls_session.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPauseWithoutDescriptors = 100;  // ms

/// 0 is not said: the peer leaves it to this side.
int grant(std::uint32_t asked, ConnectionLimits limits) {
  if (asked == 0) return limits.least;
  return static_cast<int>(std::min(asked, static_cast<std::uint32_t>(limits.most)));
}

wire::OpeningAnswer refusal(const Error& error) {
  wire::OpeningAnswer answer;
  answer.mutable_refusal()->set_code(static_cast<std::uint32_t>(error.code));
  answer.mutable_refusal()->set_message(valid_utf8(error.message));
  answer.mutable_refusal()->set_hint(valid_utf8(error.hint));
  return answer;
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::create(Endpoint endpoint, const std::string& address,
                                                   std::uint16_t port, AcceptHandler accept) {
  auto socket = listen_tcp(address, port);
  if (!socket) return fail(socket.error());
  return std::unique_ptr<Listener>(new Listener(std::move(endpoint), std::move(*socket), std::move(accept)));
}

Listener::Listener(Endpoint endpoint, FileDescriptor socket, AcceptHandler accept)
    : endpoint_(std::move(endpoint)),
      socket_(std::move(socket)),
      wake_(::eventfd(0, EFD_CLOEXEC)),
      accept_(std::move(accept)),
      greetings_([this](FileDescriptor connection) { return greet(std::move(connection)); },
                 [this](const TurnedAway& what) { tell(what); }),
      thread_([this] { run(); }) {
}

Listener::~Listener() {
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

std::uint16_t Listener::port() const {
  return local_port(socket_);
}

void Listener::run() {
  name_this_thread("listener");
  for (;;) {
    std::array<pollfd, 2> entries{{{socket_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
    ::poll(entries.data(), entries.size(), -1);
    if (entries[1].revents != 0) return;
    FileDescriptor connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    reap();
    if (!connection) {
      // Out of descriptors, most likely: the one that waits is tried again when others may have gone.
      ::poll(&entries[1], 1, kPauseWithoutDescriptors);
      continue;
    }
    greetings_.begin(std::move(connection));
  }
}

void Listener::reap() {
  greetings_.reap();
  const std::lock_guard lock(mutex_);
  std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
}

/// Ends within Patience::opening.
std::optional<TurnedAway> Listener::greet(FileDescriptor socket) {
  const auto deadline = Clock::now() + endpoint_.patience.opening;
  const auto address = remote_address(socket);
  tune(socket, Traffic::messages, endpoint_.patience.silence);
  auto stream = TlsStream::handshake(std::move(socket), endpoint_.credentials, false, deadline);
  if (!stream) return TurnedAway{{"", address}, stream.error().message};
  const auto& credentials = endpoint_.credentials;
  if (is_for_pairing(stream->connection())) {
    // Only a desk makes OpenSSL agree to such a connection.
    const auto paired = credentials.desk()->receive(std::move(*stream), address, deadline);
    if (!paired) return TurnedAway{{"", address}, "not paired: " + paired.error().message};
    return {};
  }
  const auto names = proven_names(stream->connection(), credentials.paired());
  const auto known = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
    return endpoint_.peers.contains(name) || (credentials.paired() && credentials.paired()->find(name));
  });
  if (known == names.end()) {
    const Error error{ErrorCode::not_allowed,
                      fmt::format("the certificate shown is for {}, which is no host configured there",
                                  fmt::join(names, ", ")),
                      "add a [peers.NAME] section to migrated.toml there, or pair the two: vmigrate pair"};
    // Read first: an unread greeting would make the kernel reset the connection, and the answer with it.
    (void)read_opening(*stream, deadline);
    (void)write_answer(*stream, refusal(error), deadline);
    stream->say_goodbye();
    return TurnedAway{{"", address}, error.message};
  }
  const auto greeted = greet_as(std::move(*stream), *known, address, deadline);
  if (!greeted) return TurnedAway{{*known, address}, greeted.error().message};
  return {};
}

void Listener::tell(const TurnedAway& what) const {
  if (endpoint_.turned_away) endpoint_.turned_away(what);
}

Result<> Listener::greet_as(TlsStream stream, const std::string& host, const std::string& address,
                            MonotonicTime deadline) {
  const auto opening = read_opening(stream, deadline);
  if (!opening) return fail(opening.error());
  if (opening->has_hello()) {
    const auto end = certificates_end(stream.connection());
    return begin_session(std::move(stream), opening->hello(), {host, address, {}, end}, deadline);
  }
  if (opening->has_join()) return join_session(std::move(stream), opening->join(), host, deadline);
  return fail(ErrorCode::refused, "it opened with nothing that is known here");
}

Result<> Listener::begin_session(TlsStream stream, const wire::Hello& hello, PeerIdentity peer,
                                 MonotonicTime deadline) {
  if (has_expired(stream.connection())) {
    const Error error{ErrorCode::not_allowed, "the certificate shown has expired",
                      "vmigrate doctor says how to renew it"};
    (void)write_answer(stream, refusal(error), deadline);
    stream.say_goodbye();
    return fail(error);
  }
  const auto protocol = std::min(hello.protocol(), endpoint_.protocol);
  if (protocol < hello.oldest_protocol() || protocol < endpoint_.oldest_protocol) {
    const Error error{
        ErrorCode::refused,
        fmt::format("migrated {} speaks protocol versions {} to {}, migrated {} here speaks {} to {}",
                    endpoint_.software, endpoint_.oldest_protocol, endpoint_.protocol, hello.software(),
                    hello.oldest_protocol(), hello.protocol()),
        "install the same version on both hosts"};
    (void)write_answer(stream, refusal(error), deadline);
    stream.say_goodbye();
    return fail(error);
  }
  const int connections = grant(hello.bulk_connections(), endpoint_.bulk_connections);
  auto reception = std::make_shared<Reception>(peer.host, connections, endpoint_.patience);
  wire::OpeningAnswer answer;
  auto* welcome = answer.mutable_welcome();
  welcome->set_protocol(protocol);
  welcome->set_software(endpoint_.software);
  for (const auto& feature : endpoint_.features) {
    const auto& offered = hello.features();
    if (std::find(offered.begin(), offered.end(), feature) != offered.end()) peer.features.push_back(feature);
  }
  welcome->mutable_features()->Assign(peer.features.begin(), peer.features.end());
  welcome->set_session(reception->session());
  welcome->set_secret(reception->secret());
  welcome->set_bulk_connections(static_cast<std::uint32_t>(connections));
  {
    const std::lock_guard lock(mutex_);
    open_.emplace(reception->session(), reception);
  }
  if (auto written = write_answer(stream, answer, deadline); !written) return written;
  accept_(std::make_unique<TlsSession>(std::move(peer), std::move(stream), endpoint_.patience,
                                       std::move(reception)));
  return {};
}

Result<> Listener::join_session(TlsStream stream, const wire::Join& join, const std::string& host,
                                MonotonicTime deadline) {
  const auto reception = reception_of(join.session());
  const auto admitted = reception
                            ? reception->admit(join, stream, host)
                            : fail(ErrorCode::not_allowed, "the session to be joined is not known (any more)",
                                   "migrated was restarted there, or has given the session up");
  if (admitted) return {};
  (void)write_answer(stream, refusal(admitted.error()), deadline);
  stream.say_goodbye();
  return admitted;
}

std::shared_ptr<Reception> Listener::reception_of(const std::string& session) {
  const std::lock_guard lock(mutex_);
  const auto open = open_.find(session);
  return open != open_.end() ? open->second.lock() : nullptr;
}

}  // namespace vmigrate::peer
