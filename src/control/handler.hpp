#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/error.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::control {

/// Who asks, as the kernel says it was when the client connected.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  pid_t pid = 0;
  std::string user;             ///< "root"; the number when it has no name
  std::vector<gid_t> groups{};  ///< all of them, that of `gid` too
};

/// The way back to one client. Thread-safe; no call ever waits for the client. When the last reference goes
/// without finish(), the client is told that there is no answer.
class Responder {
 public:
  virtual ~Responder() = default;
  /// A response that others follow. A client that does not read loses the oldest of these, never the last
  /// response.
  virtual void send(Response response) = 0;
  /// The last response; later ones are dropped.
  virtual void finish(Response response) = 0;
  /// Calls `callback` once when the connection is over, in whatever way, also after finish(); at once when it
  /// is over already. It comes from the server's own thread and must not block.
  virtual void on_disconnect(std::function<void()> callback) = 0;
};

/// What the daemon does with requests.
class RequestHandler {
 public:
  virtual ~RequestHandler() = default;
  /// Called on a thread that belongs to this request alone, and may block. It may return before the responder
  /// has finished, and keep the responder.
  virtual void handle(const Request& request, const Caller& caller, std::shared_ptr<Responder> responder) = 0;
  /// Somebody was turned away before there was a request to handle. Called on the server's own thread; must
  /// not block. The caller, where it is known, has its number for a name.
  virtual void turned_away(const std::optional<Caller>& /*caller*/, const vmigrate::Error& /*why*/) {}
};

}  // namespace vmigrate::control
