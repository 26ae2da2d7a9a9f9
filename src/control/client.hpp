#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "control/framing.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::control {

/// A connection to the daemon: one request and its responses. One thread uses it.
class Client {
 public:
  /// Errors: unreachable when no daemon answers there, not_allowed when the caller may not use the socket.
  static Result<Client> connect(const std::string& path);

  Result<> send(const Request& request);

  /// Waits for the next response. Nothing once the last one was received; an error (unreachable) when the
  /// daemon goes away before that.
  Result<std::optional<Response>> receive();
  /// The same without waiting: nothing also when none has come yet. For callers that poll descriptor().
  Result<std::optional<Response>> receive_arrived();
  /// The last response was received.
  bool finished() const { return finished_; }
  int descriptor() const { return socket_.get(); }

 private:
  Client(FileDescriptor socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  tl::unexpected<vmigrate::Error> lost(int number) const;
  Result<std::optional<Response>> next();
  /// False: nothing has arrived.
  Result<bool> read_arrived();

  FileDescriptor socket_;
  std::string path_;
  FrameDecoder decoder_;
  bool finished_ = false;
};

/// The whole of it: connects, asks, and calls `each` with every response.
Result<> ask(const std::string& path, const Request& request,
             const std::function<void(const Response&)>& each);

}  // namespace vmigrate::control
