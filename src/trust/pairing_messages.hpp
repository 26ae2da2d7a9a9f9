#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.hpp"
#include "peer/tls_stream.hpp"

/// proto/vmigrate/pairing.proto, checked. A refusal of the host that was dialled comes back as the error that
/// it is; who dials does not refuse, and has nothing to say in words.
namespace vmigrate::trust {

struct PairingBegin {
  std::string name;
  std::uint16_t port = 0;
  ByteBuffer share;
};
struct PairingAnswer {
  std::string name;
  ByteBuffer share;
};

Result<> write_pairing_begin(peer::TlsStream& stream, const PairingBegin& begin, MonotonicTime deadline);
Result<> write_pairing_answer(peer::TlsStream& stream, const PairingAnswer& answer, MonotonicTime deadline);
Result<> write_pairing_proof(peer::TlsStream& stream, ByteView confirmation, MonotonicTime deadline);
Result<> write_pairing_refusal(peer::TlsStream& stream, const Error& error, MonotonicTime deadline);

Result<PairingBegin> read_pairing_begin(peer::TlsStream& stream, MonotonicTime deadline);
Result<PairingAnswer> read_pairing_answer(peer::TlsStream& stream, MonotonicTime deadline);
/// The proof of who has dialled.
Result<ByteBuffer> read_pairing_guess(peer::TlsStream& stream, MonotonicTime deadline);
/// The proof of who was dialled.
Result<ByteBuffer> read_pairing_proof(peer::TlsStream& stream, MonotonicTime deadline);

}  // namespace vmigrate::trust
