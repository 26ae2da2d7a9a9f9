#pragma once

#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "microvm/configuration.hpp"
#include "microvm/image.hpp"

/// Linux kernels as they are installed (bzImage), started by their 32-bit entry. Source of the form:
/// Documentation/arch/x86/boot.rst of Linux, and its <asm/bootparam.h> for the parameters' layout.
namespace vmigrate::microvm {

/// What a kernel is given.
struct LinuxOptions {
  std::string command_line{};
  ByteBuffer initrd{};  ///< empty: none
};

/// Whether this is a kernel, of whatever version.
bool is_linux(ByteView file);

/// The kernel, its parameters, command line and initrd, put into such memory. Kernels since 2.6.31 (boot
/// protocol 2.10), which say how much memory they begin with.
///
/// Errors: usage, for what is no such kernel, is cut short, or does not fit.
Result<Image> read_linux(ByteView file, const LinuxOptions& options, const std::vector<Memory>& memory);

}  // namespace vmigrate::microvm
