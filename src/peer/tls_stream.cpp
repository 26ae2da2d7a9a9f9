#include "peer/tls_stream.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include "base/units.hpp"
#include "peer/tcp.hpp"

namespace vmigrate::peer {
namespace {

constexpr Milliseconds kHearOut{1'000};
// A TLS record is 16 KiB at most. Each would be a system call, and a walk through the network's stack.
constexpr int kManyRecords = 256 * 1024;

std::string system_error(int number) {
  return std::generic_category().message(number);
}

/// Whether this is how the other end says that it does not accept our certificate (RFC 8446, 6.2).
bool is_about_certificate(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_DECRYPT_ERROR:  // signed by another authority of the same name
    case SSL_AD_CERTIFICATE_REQUIRED: return true;
    default: return false;
  }
}

/// The socket with a buffer in front of it, of so many bytes for either direction.
BIO* buffered(BIO* socket, int to_read, int to_write) {
  BIO* buffer = ::BIO_new(::BIO_f_buffer());
  if (buffer == nullptr || BIO_set_read_buffer_size(buffer, to_read) != 1 ||
      BIO_set_write_buffer_size(buffer, to_write) != 1) {
    ::BIO_free(buffer);
    throw std::bad_alloc();
  }
  ::BIO_up_ref(socket);
  return ::BIO_push(buffer, socket);
}

/// The name with its length in front.
bool offer_pairing(SSL* connection) {
  std::string offer(1, static_cast<char>(kPairingProtocol.size()));
  offer += kPairingProtocol;
  return ::SSL_set_alpn_protos(connection, reinterpret_cast<const unsigned char*>(offer.data()),
                               static_cast<unsigned int>(offer.size())) == 0;  // unlike all others
}

/// What OpenSSL says that is neither about the socket nor about the other end's certificate.
Error protocol_error() {
  const unsigned long code = ::ERR_peek_error();
  const int reason = ERR_GET_REASON(code);
  const std::string words = openssl_error();
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    return {ErrorCode::unreachable, "the other end vanished", ""};
  }
  if (is_about_certificate(reason - SSL_AD_REASON_OFFSET)) {
    return {ErrorCode::not_allowed, "it does not accept this host's certificate: " + words, ""};
  }
  if (reason - SSL_AD_REASON_OFFSET == SSL_AD_NO_APPLICATION_PROTOCOL) {
    return {ErrorCode::refused, "it does not expect to be paired with anybody now", ""};
  }
  return {ErrorCode::refused, "something else than migrated talks there, or an old one: TLS: " + words, ""};
}

}  // namespace

Result<TlsStream> TlsStream::handshake(FileDescriptor socket, const Credentials& credentials, bool dialled,
                                       MonotonicTime deadline, Purpose purpose) {
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
  ::ERR_clear_error();
  std::unique_ptr<SSL, Free> connection(::SSL_new(credentials.context()));
  if (!connection || ::SSL_set_fd(connection.get(), socket.get()) != 1) {
    return fail(ErrorCode::failed, "OpenSSL: " + openssl_error());
  }
  if (purpose == Purpose::pairing && !offer_pairing(connection.get()))
    return fail(ErrorCode::failed, "OpenSSL: " + openssl_error());
  if (dialled)
    ::SSL_set_connect_state(connection.get());
  else
    ::SSL_set_accept_state(connection.get());
  TlsStream stream(std::move(socket), std::move(connection));
  for (;;) {
    ::ERR_clear_error();
    const int result = ::SSL_do_handshake(stream.connection_.get());
    if (result == 1) return stream;
    if (auto again = stream.outcome(result, 0); !again) {
      stream.hear_out(deadline);
      return fail(again.error());
    }
    if (auto waited = stream.wait(deadline); !waited) return fail(waited.error());
  }
}

void TlsStream::carry_bulk() {
  // OpenSSL's own reading ahead moves all that it has read to the front of its buffer at every record.
  constexpr int none = 1;  // it keeps the 4 KiB that it has
  SSL* connection = connection_.get();
  ::SSL_set0_rbio(connection, buffered(::SSL_get_rbio(connection), kManyRecords, none));
  ::SSL_set0_wbio(connection, buffered(::SSL_get_wbio(connection), none, kManyRecords));
}

Result<> TlsStream::read_exactly(std::span<std::byte> bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    const auto count = read_some(bytes);
    if (!count) return fail(count.error());
    bytes = bytes.subspan(*count);
    if (*count > 0) continue;
    if (auto waited = wait(deadline); !waited) return waited;
  }
  return {};
}

Result<> TlsStream::write_all(ByteView bytes, MonotonicTime deadline) {
  while (!bytes.empty()) {
    const auto count = write_some(bytes);
    if (!count) return fail(count.error());
    bytes = bytes.subspan(*count);
    if (*count > 0) continue;
    if (auto waited = wait(deadline); !waited) return waited;
  }
  return flush(deadline);
}

Result<> TlsStream::flush(MonotonicTime deadline) {
  for (;;) {
    const auto flushed = flush_some();
    if (!flushed) return fail(flushed.error());
    if (*flushed) return {};
    if (auto waited = wait(deadline); !waited) return waited;
  }
}

Result<bool> TlsStream::flush_some() {
  BIO* out = ::SSL_get_wbio(connection_.get());
  wants_write_ = BIO_flush(out) != 1;
  if (wants_write_ && BIO_should_retry(out) == 0) return fail(ErrorCode::unreachable, system_error(errno));
  return !wants_write_;
}

Result<std::size_t> TlsStream::outcome(int result, std::size_t count) {
  wants_write_ = false;
  if (result == 1) return count;
  switch (::SSL_get_error(connection_.get(), result)) {
    case SSL_ERROR_WANT_READ: return std::size_t{0};
    case SSL_ERROR_WANT_WRITE: wants_write_ = true; return std::size_t{0};
    case SSL_ERROR_ZERO_RETURN: ended_ = true; [[fallthrough]];
    default: return fail(error_of(result));
  }
}

Error TlsStream::error_of(int result) const {
  const int number = errno;
  switch (::SSL_get_error(connection_.get(), result)) {
    case SSL_ERROR_ZERO_RETURN: return {ErrorCode::unreachable, "the other end closed the connection", ""};
    case SSL_ERROR_SYSCALL:
      return {ErrorCode::unreachable,
              number == 0 ? "the other end closed the connection" : system_error(number), ""};
    default: break;
  }
  if (const long verdict = ::SSL_get_verify_result(connection_.get()); verdict != X509_V_OK) {
    ::ERR_clear_error();
    return {ErrorCode::not_allowed,
            std::string("its certificate is not accepted: ") + ::X509_verify_cert_error_string(verdict), ""};
  }
  return protocol_error();
}

Result<> TlsStream::wait(MonotonicTime deadline) {
  if (std::chrono::steady_clock::now() >= deadline) return fail(ErrorCode::unreachable, "it does not answer");
  return await(deadline, false);
}

Result<> TlsStream::await(MonotonicTime until, bool hears) {
  const auto left = std::chrono::ceil<Milliseconds>(until - std::chrono::steady_clock::now());
  pollfd entry{socket_.get(), static_cast<short>(wants_write_ ? POLLOUT : POLLIN), 0};
  if (hears) entry.events |= POLLIN;
  const auto patience = static_cast<int>(std::clamp<Milliseconds::rep>(left.count(), 0, 60'000));
  if (wants_write_) waits_->begin(std::chrono::steady_clock::now(), measured(descriptor()).receiver_limited);
  const int ready = ::poll(&entry, 1, patience);
  if (wants_write_) waits_->end(std::chrono::steady_clock::now(), measured(descriptor()).receiver_limited);
  if (ready < 0 && errno != EINTR) return fail_errno("poll", errno);
  return {};
}

/// After a handshake that failed: why is on its way to the other end. What that still says is thrown away;
/// unread, it would make the kernel reset the connection, and the other end would never learn the reason.
void TlsStream::hear_out(MonotonicTime deadline) {
  end_writing();
  wants_write_ = false;
  const auto enough = std::min(deadline, std::chrono::steady_clock::now() + kHearOut);
  std::array<std::byte, 4096> ignored;
  while (wait(enough)) {
    const auto count = ::recv(socket_.get(), ignored.data(), ignored.size(), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) return;
  }
}

void TlsStream::end_writing() {
  ::shutdown(socket_.get(), SHUT_WR);
}

std::chrono::nanoseconds TlsStream::waited() const {
  return waits_->total(std::chrono::steady_clock::now(), measured(descriptor()).receiver_limited);
}

void TlsStream::interrupt() {
  ::shutdown(socket_.get(), SHUT_RDWR);
}

}  // namespace vmigrate::peer
