#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>

#include "control/framing.hpp"
#include "control/outbox.hpp"

namespace vmigrate::control {

/// How long a client may take for what depends on it alone.
struct Patience {
  std::chrono::milliseconds request{10'000};   ///< from connecting until the whole request has come
  std::chrono::milliseconds response{30'000};  ///< to read one response that is waiting for it
};

/// One client: reads its request, writes its responses, notices that it has gone. Lives on the server's I/O
/// thread; the outbox joins it to the others.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::local::stream_protocol::socket;
  struct Events {
    std::function<void(const std::shared_ptr<Connection>&, const Request&)> request;
    std::function<void(const std::shared_ptr<Connection>&)> closed;  ///< once
    std::function<void(const std::shared_ptr<Connection>&, const vmigrate::Error&)> refused;
  };

  static std::shared_ptr<Connection> create(boost::asio::io_context& context, Socket socket,
                                            Patience patience, Events events);

  void start();
  /// Refuses the client without reading its request.
  void refuse(const vmigrate::Error& error);
  /// Ends it at once.
  void close();
  /// Ends it when the last response, which must be in the outbox, is written; not later than in `patience`.
  void close_after_last(std::chrono::milliseconds patience);

  const std::shared_ptr<Outbox>& outbox() const { return outbox_; }
  int descriptor() { return socket_.native_handle(); }

 private:
  Connection(Socket socket, Patience patience, Events events);

  void read();
  void on_bytes(std::size_t count);
  void write();
  void limit(std::chrono::milliseconds time);

  Socket socket_;
  boost::asio::steady_timer deadline_;
  const Patience patience_;
  Events events_;
  std::shared_ptr<Outbox> outbox_;
  FrameDecoder decoder_;
  std::array<char, 16384> arriving_{};
  std::string leaving_;
  bool asked_ = false;
  bool writing_ = false;
  bool closing_ = false;
  bool closed_ = false;
};

}  // namespace vmigrate::control
