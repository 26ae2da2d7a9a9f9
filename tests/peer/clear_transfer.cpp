// A double of src/peer/tls_transfer.cpp: connections are opened and their ends prove who they are as ever,
// and then memory goes over in the clear. With it in the daemon's place tools/bench measures what encryption
// costs.
#include <cerrno>
#include <system_error>

#include <openssl/err.h>

#include "peer/tls_stream.hpp"

namespace vmigrate::peer {
namespace {

/// carry_bulk() has put a buffer between the connection and its socket.
bool is_in_the_clear(const SSL* connection) {
  return ::BIO_method_type(::SSL_get_rbio(connection)) == BIO_TYPE_BUFFER;
}

Result<std::size_t> outcome_of(BIO* through, bool done, std::size_t count) {
  if (done) return count;
  if (BIO_should_retry(through) != 0) return std::size_t{0};
  return fail(ErrorCode::unreachable, std::generic_category().message(errno));
}

}  // namespace

Result<std::size_t> TlsStream::read_some(std::span<std::byte> bytes) {
  std::size_t count = 0;
  if (is_in_the_clear(connection_.get())) {
    wants_write_ = false;
    BIO* in = ::SSL_get_rbio(connection_.get());
    const bool done = ::BIO_read_ex(in, bytes.data(), bytes.size(), &count) == 1;
    return outcome_of(in, done, count);
  }
  ::ERR_clear_error();
  const int result = ::SSL_read_ex(connection_.get(), bytes.data(), bytes.size(), &count);
  return outcome(result, count);
}

Result<std::size_t> TlsStream::write_some(ByteView bytes) {
  std::size_t count = 0;
  if (is_in_the_clear(connection_.get())) {
    BIO* out = ::SSL_get_wbio(connection_.get());
    const bool done = ::BIO_write_ex(out, bytes.data(), bytes.size(), &count) == 1;
    wants_write_ = !done;
    return outcome_of(out, done, count);
  }
  ::ERR_clear_error();
  const int result = ::SSL_write_ex(connection_.get(), bytes.data(), bytes.size(), &count);
  return outcome(result, count);
}

}  // namespace vmigrate::peer
