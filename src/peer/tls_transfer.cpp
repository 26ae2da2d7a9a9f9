// What goes through the connection, as cipher text. Apart from the rest, so that a test can put another in
// its place and measure what encryption costs.
#include <openssl/err.h>

#include "peer/tls_stream.hpp"

namespace vmigrate::peer {

void TlsStream::carry_bulk() {
  // A TLS record is 16 KiB at most. Each would be a system call, and a walk through the network's stack.
  constexpr std::size_t many_records = std::size_t{256} * 1024;
  SSL* connection = connection_.get();
  ::SSL_free_buffers(connection);  // the next one has the new size
  ::SSL_set_default_read_buffer_len(connection, many_records);
  ::SSL_set_read_ahead(connection, 1);
  BIO* collected = ::BIO_new(::BIO_f_buffer());
  if (collected == nullptr || BIO_set_write_buffer_size(collected, many_records) != 1) {
    ::BIO_free(collected);
    return;
  }
  BIO* socket = ::SSL_get_wbio(connection);
  ::BIO_up_ref(socket);
  ::SSL_set0_wbio(connection, ::BIO_push(collected, socket));
}

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

}  // namespace vmigrate::peer
