#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "control/connection.hpp"
#include "control/handler.hpp"

namespace vmigrate::control {

struct ServerOptions {
  std::string path{};                 ///< of the socket; its folder exists
  std::string group{};                ///< that may use it beside root; empty: the daemon's own
  std::size_t most_connections = 64;  ///< further clients are told to come again
  Patience patience{};
};

/// The daemon's control socket. All input and output is on a thread of its own, "control"; each request is
/// handled on a thread of its own too, since it may block, and a cancel must not wait behind a check.
class Server {
 public:
  /// From its return on clients are served.
  static Result<std::unique_ptr<Server>> create(ServerOptions options, RequestHandler& handler);
  /// close(), and waits for requests that are being handled.
  ~Server();
  /// Takes no more clients, writes the last responses that are ready (for a second at most), ends the other
  /// connections and removes the socket. Does not wait for requests that are being handled; what they still
  /// answer goes nowhere. Call once.
  void close();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  class Implementation;
  explicit Server(std::unique_ptr<Implementation> implementation);
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace vmigrate::control
