#pragma once

#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/file_descriptor.hpp"
#include "peer/frame.hpp"
#include "peer/incoming_lanes.hpp"
#include "peer/limits.hpp"
#include "peer/outgoing_lanes.hpp"
#include "peer/session.hpp"
#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

/// The message lanes of a session, on its control connection: one thread ("peer") that alone uses the TLS
/// stream. OutgoingLanes says what goes out next, IncomingLanes what may come in.
class MessageLanes {
 public:
  /// `other` names the peer in errors.
  MessageLanes(TlsStream stream, std::string other, Patience patience);
  ~MessageLanes();
  MessageLanes(const MessageLanes&) = delete;
  MessageLanes& operator=(const MessageLanes&) = delete;

  void start(SessionEvents events);
  void send(Lane lane, ByteBuffer message);
  void dealt_with(Lane lane, std::size_t message_size);
  /// No more events; what was sent before still goes out, within Patience::farewell. Does not wait for it.
  void close();
  bool is_closed() const;
  std::chrono::nanoseconds round_trip() const;

 private:
  void run();
  Result<> exchange();
  Result<> take_in();
  Result<> deliver(Frame frame);
  Result<> take_own(ByteView payload);
  Result<> put_out();
  bool fill_output();
  Result<> wait();
  void say_farewell();
  std::optional<Error> what_broke() const;
  std::optional<MonotonicTime> farewell_deadline() const;
  void wake() const;

  TlsStream stream_;
  const std::string other_;
  const Patience patience_;
  const FileDescriptor wake_;
  SessionEvents events_;
  std::once_flag started_;
  OutgoingLanes outgoing_;
  IncomingLanes incoming_;

  mutable std::mutex mutex_;
  std::optional<MonotonicTime> closing_since_;
  std::optional<Error> broken_;  // by what was to be sent

  // The thread's own.
  FrameReader reader_;
  ByteBuffer output_;
  std::size_t output_sent_ = 0;
  bool write_blocked_ = false;
  bool said_farewell_ = false;
  MonotonicTime last_heard_;
  MonotonicTime last_said_;
  std::thread thread_;
};

}  // namespace vmigrate::peer
