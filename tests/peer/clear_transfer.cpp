// A double of src/peer/tls_transfer.cpp: connections are opened and their ends prove who they are as ever,
// and then memory goes over in the clear. With it in the daemon's place tools/bench measures what encryption
// costs.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <span>
#include <system_error>

#include <openssl/err.h>

#include "peer/tls_stream.hpp"

namespace vmigrate::peer {
namespace {

/// carry_bulk() has put a buffer between the connection and its socket.
bool is_in_the_clear(const SSL* connection) {
  return ::BIO_method_type(::SSL_get_rbio(connection)) == BIO_TYPE_BUFFER;
}

/// Of what BIO_read() or BIO_write() has said.
Result<std::size_t> outcome_of(BIO* through, int count) {
  if (count > 0) return static_cast<std::size_t>(count);
  if (BIO_should_retry(through) != 0) return std::size_t{0};
  return fail(ErrorCode::unreachable,
              count == 0 ? "the other end closed the connection" : std::generic_category().message(errno));
}

int length(std::span<const std::byte> bytes) {
  return static_cast<int>(std::min<std::size_t>(bytes.size(), INT_MAX));
}

}  // namespace

Result<std::size_t> TlsStream::read_some(std::span<std::byte> bytes) {
  if (is_in_the_clear(connection_.get())) {
    wants_write_ = false;
    BIO* in = ::SSL_get_rbio(connection_.get());
    const int count = ::BIO_read(in, bytes.data(), length(bytes));
    ended_ = ended_ || count == 0;
    return outcome_of(in, count);
  }
  std::size_t count = 0;
  ::ERR_clear_error();
  const int result = ::SSL_read_ex(connection_.get(), bytes.data(), bytes.size(), &count);
  return outcome(result, count);
}

Result<std::size_t> TlsStream::write_some(ByteView bytes) {
  if (is_in_the_clear(connection_.get())) {
    BIO* out = ::SSL_get_wbio(connection_.get());
    const int count = ::BIO_write(out, bytes.data(), length(bytes));
    wants_write_ = count <= 0;
    return outcome_of(out, count);
  }
  std::size_t count = 0;
  ::ERR_clear_error();
  const int result = ::SSL_write_ex(connection_.get(), bytes.data(), bytes.size(), &count);
  return outcome(result, count);
}

void TlsStream::say_goodbye() {
  if (is_in_the_clear(connection_.get())) return end_writing();
  ::ERR_clear_error();
  ::SSL_shutdown(connection_.get());
}

}  // namespace vmigrate::peer
