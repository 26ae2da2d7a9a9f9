#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/file_descriptor.hpp"
#include "peer/connection.hpp"
#include "peer/limits.hpp"
#include "peer/reconnector.hpp"
#include "peer/resumable_lanes.hpp"
#include "peer/session.hpp"
#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

/// The message lanes of a session, on its control connection: one thread ("peer") that alone uses the TLS
/// stream. When the connection is lost the thread waits for another, and goes on where both ends are.
class MessageLanes {
 public:
  /// `other` names the peer in errors.
  MessageLanes(TlsStream stream, std::string other, Patience patience,
               std::shared_ptr<Reconnector> reconnector);
  ~MessageLanes();
  MessageLanes(const MessageLanes&) = delete;
  MessageLanes& operator=(const MessageLanes&) = delete;

  void start(SessionEvents events);
  void send(Lane lane, ByteBuffer message);
  void dealt_with(Lane lane, std::size_t message_size);
  /// No more events; what was sent before still goes out, within Patience::farewell. Does not wait for it.
  void close();
  bool is_closed() const;
  /// From any thread: the connection is as good as lost.
  void interrupt() { connection_.interrupt(); }
  std::chrono::nanoseconds round_trip() const;

 private:
  void run();
  Result<> converse();
  Result<> come_back(const Error& why);
  Result<> exchange();
  tl::unexpected<Error> lose(const Error& why);
  Result<> take_in();
  void deliver(Lane lane, ByteBuffer message);
  Result<> put_out();
  bool fill_output();
  Result<> wait();
  void say_farewell();
  std::optional<Error> what_broke() const;
  std::optional<MonotonicTime> farewell_deadline() const;
  void wake() const;

  Connection connection_;
  const std::string other_;
  const Patience patience_;
  const std::shared_ptr<Reconnector> reconnector_;
  const FileDescriptor wake_;
  SessionEvents events_;
  std::once_flag started_;
  ResumableLanes lanes_;

  mutable std::mutex mutex_;
  std::optional<MonotonicTime> closing_since_;
  std::optional<Error> broken_;  // by what was to be sent

  // The thread's own.
  ByteView output_;  // a frame of the lanes'
  std::size_t output_sent_ = 0;
  bool lost_ = false;
  bool write_blocked_ = false;
  bool said_farewell_ = false;
  MonotonicTime last_heard_;
  MonotonicTime last_said_;
  std::thread thread_;
};

}  // namespace vmigrate::peer
