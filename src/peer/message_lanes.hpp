#pragma once

#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/file_descriptor.hpp"
#include "peer/frame.hpp"
#include "peer/limits.hpp"
#include "peer/session.hpp"
#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

/// The message lanes of a session, on its control connection: one thread ("peer") that alone uses the TLS
/// stream.
///
/// What is to be sent goes out in the order of the lanes, 64 KiB at a time, so that a long message of one
/// lane does not keep a more important one waiting. Nothing is acknowledged: TCP holds a sender back, and
/// what it then piles up here is limited.
class MessageLanes {
 public:
  /// `other` names the peer in errors.
  MessageLanes(TlsStream stream, std::string other, Patience patience);
  ~MessageLanes();
  MessageLanes(const MessageLanes&) = delete;
  MessageLanes& operator=(const MessageLanes&) = delete;

  void start(SessionEvents events);
  void send(Lane lane, ByteBuffer message);
  /// No more events; what was sent before still goes out, within Patience::farewell. Does not wait for it.
  void close();
  bool is_closed() const;

 private:
  void run();
  Result<> exchange();
  Result<> take_in();
  Result<> deliver(Frame frame);
  Result<> put_out();
  bool fill_output();
  Result<> wait();
  void wake() const;

  TlsStream stream_;
  const std::string other_;
  const Patience patience_;
  const FileDescriptor wake_;
  SessionEvents events_;
  std::once_flag started_;

  mutable std::mutex mutex_;
  std::map<std::uint32_t, std::deque<ByteBuffer>> queues_;  // by lane: the lowest goes first
  std::map<std::uint32_t, std::size_t> sent_of_first_;      // bytes of each lane's first message that are out
  std::size_t queued_ = 0;
  bool closing_ = false;
  bool overfull_ = false;

  // The thread's own.
  FrameReader reader_;
  std::map<std::uint32_t, ByteBuffer> incomplete_;
  ByteBuffer output_;
  std::size_t output_sent_ = 0;
  bool write_blocked_ = false;
  MonotonicTime last_heard_;
  MonotonicTime last_said_;
  MonotonicTime closing_since_;
  std::thread thread_;
};

}  // namespace vmigrate::peer
