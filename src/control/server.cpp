#include "control/server.hpp"

#include <array>
#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>
#include <pwd.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include "base/thread_name.hpp"
#include "control/listener.hpp"

namespace vmigrate::control {
namespace {

namespace asio = boost::asio;
using asio::local::stream_protocol;
using boost::system::error_code;
using namespace std::chrono_literals;

/// Before trying again when the process has no descriptor left for a new client.
constexpr auto kAcceptPause = 100ms;
/// For last responses that are ready when the server ends.
constexpr auto kFarewell = 1s;

class OutboxResponder : public Responder {
 public:
  explicit OutboxResponder(std::shared_ptr<Outbox> outbox) : outbox_(std::move(outbox)) {}
  ~OutboxResponder() override {
    if (outbox_->finished()) return;
    outbox_->put(error_response({ErrorCode::needs_attention, "migrated ended the request without an answer",
                                 "see its log: journalctl -u migrated"}),
                 true);
  }

  void send(Response response) override { outbox_->put(std::move(response), false); }
  void finish(Response response) override { outbox_->put(std::move(response), true); }
  void on_disconnect(std::function<void()> callback) override { outbox_->on_close(std::move(callback)); }

 private:
  const std::shared_ptr<Outbox> outbox_;
};

/// Blocks: users may be kept on a server.
std::string user_name(uid_t uid) {
  std::array<char, 16384> memory{};
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(uid, &entry, memory.data(), memory.size(), &found) != 0 || found == nullptr) {
    return std::to_string(uid);
  }
  return found->pw_name;
}

/// The supplementary groups of who was there, and `own`. One that cannot be known is none.
std::vector<gid_t> groups_of(int descriptor, gid_t own) {
  std::vector<gid_t> groups(64);
  auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
  int asked = ::getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  if (asked != 0 && errno == ERANGE) {  // `size` says by now how much room they need
    groups.resize(size / sizeof(gid_t));
    asked = ::getsockopt(descriptor, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
  }
  groups.resize(asked == 0 ? size / sizeof(gid_t) : 0);
  groups.push_back(own);
  return groups;
}

/// Who was at the other end when it connected.
Result<Caller> caller_of(int descriptor) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return fail_errno("cannot tell who asks", errno);
  }
  return Caller{
      credentials.uid, credentials.gid, credentials.pid, {}, groups_of(descriptor, credentials.gid)};
}

}  // namespace

class Server::Implementation {
 public:
  Implementation(ServerOptions options, Listener listener, RequestHandler& handler)
      : options_(std::move(options)),
        listener_(std::move(listener)),
        handler_(handler),
        acceptor_(io_, stream_protocol(), listener_->take_socket().release()) {
    asio::post(io_, [this] { accept(); });
    thread_ = std::thread([this] {
      name_this_thread("control");
      io_.run();
    });
  }

  ~Implementation() {
    close();
    workers_.clear();  // joins them; what they say goes nowhere, since every outbox is closed
  }

  void close() {
    if (!thread_.joinable()) return;
    asio::post(io_, [this] { stop(); });
    thread_.join();
    listener_.reset();
  }

  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;

 private:
  void accept() {
    acceptor_.async_accept([this](error_code error, stream_protocol::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) return accept_later(error);
      add(std::move(socket));
      accept();
    });
  }

  void accept_later(const error_code& error) {
    spdlog::warn("control socket: cannot take a client: {}", error.message());
    accept_timer_.expires_after(kAcceptPause);
    accept_timer_.async_wait([this](error_code cancelled) {
      if (!cancelled) accept();
    });
  }

  void add(stream_protocol::socket socket) {
    const auto connection = Connection::create(
        io_, std::move(socket), options_.patience,
        {.request = [this](const auto& from, const Request& request) { serve(from, request); },
         .closed = [this](const auto& gone) { connections_.erase(gone); },
         .refused = [this](const auto& from, const vmigrate::Error& why) { tell(from, why); }});
    const bool busy =
        connections_.size() >= options_.most_connections || workers_.size() >= options_.most_connections;
    // Those who are turned away are told why, but not waited for: the socket has room for that much.
    const vmigrate::Error too_many{
        ErrorCode::unreachable, fmt::format("migrated serves {} clients already", options_.most_connections),
        "try again in a moment; end watchers that nobody needs"};
    if (busy && connections_.size() >= 2 * options_.most_connections) {
      tell(connection, too_many);
      return connection->close();
    }
    connections_.insert(connection);
    if (!busy) return connection->start();
    connection->refuse(too_many);
  }

  void tell(const std::shared_ptr<Connection>& refused, const vmigrate::Error& why) {
    std::optional<Caller> known;
    if (auto caller = caller_of(refused->descriptor())) {
      known = std::move(*caller);
      known->user = std::to_string(known->uid);
    }
    handler_.turned_away(known, why);
  }

  void serve(const std::shared_ptr<Connection>& connection, const Request& request) {
    auto caller = caller_of(connection->descriptor());
    if (!caller) return connection->refuse(caller.error());
    const auto number = ++last_worker_;
    workers_.emplace(number, std::jthread([this, number, caller = std::move(*caller), request,
                                           outbox = connection->outbox()]() mutable {
                       name_this_thread("control-request");
                       caller.user = user_name(caller.uid);
                       handle(request, caller, std::make_shared<OutboxResponder>(std::move(outbox)));
                       asio::post(io_, [this, number] { workers_.erase(number); });
                     }));
  }

  void handle(const Request& request, const Caller& caller, const std::shared_ptr<Responder>& responder) {
    try {
      handler_.handle(request, caller, responder);
    } catch (const std::exception& error) {
      // Nobody else's migration may suffer from it.
      spdlog::error("control socket: a request of {} (uid {}) failed: {}", caller.user, caller.uid,
                    error.what());
      responder->finish(error_response({ErrorCode::needs_attention,
                                        fmt::format("migrated has an internal error: {}", error.what()),
                                        "please report it, with the log: journalctl -u migrated"}));
    }
  }

  void stop() {
    error_code ignored;
    acceptor_.close(ignored);
    accept_timer_.cancel();
    work_.reset();
    for (const auto& connection : std::set(connections_)) {
      if (connection->outbox()->finished())
        connection->close_after_last(kFarewell);
      else
        connection->close();
    }
  }

  const ServerOptions options_;
  std::optional<Listener> listener_;
  RequestHandler& handler_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  stream_protocol::acceptor acceptor_;
  asio::steady_timer accept_timer_{io_};
  std::set<std::shared_ptr<Connection>> connections_;
  std::map<std::uint64_t, std::jthread> workers_;
  std::uint64_t last_worker_ = 0;
  std::thread thread_;
};

Server::Server(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {
}
Server::~Server() = default;

void Server::close() {
  implementation_->close();
}

Result<std::unique_ptr<Server>> Server::create(ServerOptions options, RequestHandler& handler) {
  auto listener = Listener::open(options.path, options.group);
  if (!listener) return fail(listener.error());
  return std::unique_ptr<Server>(
      new Server(std::make_unique<Implementation>(std::move(options), std::move(*listener), handler)));
}

}  // namespace vmigrate::control
