#pragma once

#include <memory>

#include <openssl/ssl.h>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "base/units.hpp"
#include "peer/credentials.hpp"
#include "peer/wire_wait.hpp"

namespace vmigrate::peer {

/// A TLS connection over a TCP socket. One thread uses it, but for interrupt(), waited() and descriptor().
class TlsStream {
 public:
  enum class Purpose { work, pairing };
  /// The handshake, in either role; the socket becomes non-blocking. `purpose` is the dialling side's: the
  /// other hears of it.
  static Result<TlsStream> handshake(FileDescriptor socket, const Credentials& credentials, bool dialled,
                                     MonotonicTime deadline, Purpose purpose = Purpose::work);

  /// From now on few system calls move much: for streams of megabytes. To be called before anything is read
  /// or written, by both ends or one.
  void carry_bulk();

  /// Exactly so many bytes by the deadline. For greetings; not to be mixed with read_some().
  Result<> read_exactly(std::span<std::byte> bytes, MonotonicTime deadline);
  Result<> write_all(ByteView bytes, MonotonicTime deadline);

  /// As much as there is, without waiting; 0: nothing yet. An error also at the end of the connection.
  Result<std::size_t> read_some(std::span<std::byte> bytes);
  Result<std::size_t> write_some(ByteView bytes);
  /// What carry_bulk() has collected goes out; false: not all of it yet.
  Result<bool> flush_some();
  /// Waits until what has just got nowhere is worth another try, or (with `hears`) something can be read, or
  /// `until`.
  Result<> await(MonotonicTime until, bool hears);
  /// The other end has said that nothing follows.
  bool has_ended() const { return ended_; }

  /// Tells the other end that nothing follows; without waiting.
  void say_goodbye();
  /// Nothing is written after this; reading goes on.
  void end_writing();
  /// From any thread: everything fails from now on.
  void interrupt();
  /// For how long writers have waited for the network; see WireWait. From any thread.
  std::chrono::nanoseconds waited() const;
  int descriptor() const { return socket_.get(); }
  const SSL* connection() const { return connection_.get(); }
  SSL* connection() { return connection_.get(); }

 private:
  struct Free {
    void operator()(SSL* connection) const { ::SSL_free(connection); }
  };
  TlsStream(FileDescriptor socket, std::unique_ptr<SSL, Free> connection)
      : socket_(std::move(socket)), connection_(std::move(connection)) {}
  Result<> flush(MonotonicTime deadline);
  Result<> wait(MonotonicTime deadline);
  Error error_of(int result) const;
  void hear_out(MonotonicTime deadline);
  /// 0 when the call has to be made again later.
  Result<std::size_t> outcome(int result, std::size_t count);

  FileDescriptor socket_;
  std::unique_ptr<SSL, Free> connection_;
  bool wants_write_ = false;
  bool ended_ = false;
  std::unique_ptr<WireWait> waits_ = std::make_unique<WireWait>();
};

}  // namespace vmigrate::peer
