// What goes through the connection, as cipher text. Apart from the rest, so that a test can put another in
// its place and measure what encryption costs.
#include <openssl/err.h>

#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

Result<std::size_t> TlsStream::read_some(std::span<std::byte> bytes) {
  ::ERR_clear_error();
  std::size_t count = 0;
  const int result = ::SSL_read_ex(connection_.get(), bytes.data(), bytes.size(), &count);
  return outcome(result, count);
}

Result<std::size_t> TlsStream::write_some(ByteView bytes) {
  ::ERR_clear_error();
  std::size_t count = 0;
  const int result = ::SSL_write_ex(connection_.get(), bytes.data(), bytes.size(), &count);
  return outcome(result, count);
}

void TlsStream::say_goodbye() {
  ::ERR_clear_error();
  ::SSL_shutdown(connection_.get());
}

}  // namespace vmigrate::peer
