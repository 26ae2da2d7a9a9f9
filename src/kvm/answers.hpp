#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "kvm/connection.hpp"

/// What the destination says to the source, against the direction of the stream. The frames are those of
/// QEMU's return path (16 bits type, 16 bits length, both big-endian), so that `migrated` carries them; the
/// last one is QEMU's SHUT, which `migrated` gives to the source itself as soon as the stream is on its way.
namespace vmigrate::kvm {

struct Answer {
  enum class Kind : std::uint16_t {
    ended = 0x0001,     ///< SHUT, 32 bits: 0 when the VM is loaded
    accepted = 0x7601,  ///< this VM can run here; memory may follow
    refused = 0x7602,   ///< text: why not, or why loading failed
  };
  Kind kind = Kind::ended;
  bool loaded = false;  ///< of `ended`
  std::string reason{};
};

ByteBuffer encode(const Answer& answer);

/// The first answer in `bytes`, which it takes away. Nothing when it is not all there; an error for what is
/// none.
Result<std::optional<Answer>> take_answer(ByteBuffer& bytes);

/// Reads the answers of a destination.
class AnswerReader {
 public:
  explicit AnswerReader(Connection& connection) : connection_(connection) {}
  /// Waits for the next answer, until `deadline`.
  Result<Answer> next(MonotonicTime deadline);
  /// An answer that has come already: while memory is on its way there is none unless something is wrong.
  /// Unreachable if none can come any more.
  Result<std::optional<Answer>> next_if_there();

 private:
  Connection& connection_;
  ByteBuffer held_;
};

}  // namespace vmigrate::kvm
