#pragma once

#include <cstdint>

#include "base/bytes.hpp"

namespace vmigrate::hypervisor {

/// What a fake source QEMU writes, in its two halves.
struct FakeStream {
  ByteBuffer live;     ///< while the VM runs
  ByteBuffer stopped;  ///< after its vCPUs have stopped
};

/// A small stream of the shape that QEMU 7.2 writes (docs/protocol.md): header, configuration, return path,
/// RAM in START, PART and END sections with `pages` pages in one block, a device, the end and an empty
/// description.
FakeStream example_stream(std::uint32_t pages = 64);

/// What the destination's QEMU says on the return path once everything has arrived: PONG 1, SHUT 0.
ByteBuffer example_return_path();

/// How both fake QEMUs know that the bytes are the same.
std::uint64_t hash_of(ByteView bytes);

}  // namespace vmigrate::hypervisor
