#pragma once

#include <asm/bootparam.h>

#include "base/bytes.hpp"

namespace vmigrate::microvm {

/// The header of a kernel as Linux 6.1 has it, with one sector of setup and a memory need of 1 MiB at 2 MiB.
setup_header usual_header(std::size_t kernel_size);

/// A file with that header and `kernel` behind the sectors for real mode.
ByteBuffer make_bzimage(const setup_header& header, ByteView kernel);
ByteBuffer make_bzimage(ByteView kernel);

}  // namespace vmigrate::microvm
