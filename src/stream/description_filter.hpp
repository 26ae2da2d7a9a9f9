#pragma once

#include <cstddef>

#include "base/bytes.hpp"

namespace vmigrate::stream {

/// Takes what follows RAM's end, and finds the end of the stream.
///
/// The devices' state has no framing, so its end cannot be computed. But QEMU ends the stream with a byte 0
/// (QEMU_VM_EOF) and a description of that state as JSON (QEMU_VM_VMDESCRIPTION: type byte, length in 32
/// bits, big-endian, text), and then says nothing more until the destination has loaded. Something that looks
/// like the head of a description, whose text is exactly all that there is, and is JSON: that is the end.
///
/// Nobody reads the description; 100 KB of it, while the guest stands still, are replaced by `{}`.
///
/// It is a guess: a guest could write such bytes into a device's state. All it gains is that its own move
/// fails at loading: nothing that is decided here makes any side run the guest.
class DescriptionFilter {
 public:
  /// Appends to `out` what can go on. What may be a description that is not all there yet is held back.
  void feed(ByteView bytes, ByteBuffer& out);
  /// Appends to `out` what is held back: it was no description after all.
  void release(ByteBuffer& out);

  bool is_holding() const { return !held_.empty(); }
  /// The stream is complete.
  bool is_complete() const { return complete_; }

 private:
  ByteBuffer held_;
  bool complete_ = false;
};

}  // namespace vmigrate::stream
