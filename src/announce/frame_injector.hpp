#pragma once

#include "announce/kernel_tables.hpp"
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::announce {

/// Puts frames onto a bridge as if the VM behind one of its ports had sent them.
///
/// Sending on the bridge device would be the obvious way, and is wrong in three: the bridge does not learn
/// from such frames where the VM is; a bridge with VLANs drops them unless it is itself a member of the VM's
/// VLAN; and the VM gets them too. Sending on the VM's TAP device reaches only the VM. So a frame is made to
/// arrive at the port: the kernel runs a program of two instructions, "pass", on it, which is how test frames
/// enter the kernel as if received (BPF_PROG_TEST_RUN with BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18). From
/// there all is as for the VM's own frames: learning, VLANs, filters, this host's own stack.
///
/// Where the kernel does not have or allow that, frames are sent on the bridge device, which is right for
/// bridges without VLANs once the forwarding entry is updated.
class FrameInjector {
 public:
  FrameInjector();

  /// `frame`: 60 to 1514 bytes, from the destination MAC on, without check sequence.
  Result<> inject(const BridgePort& where, ByteView frame);

  /// For tests: as on a kernel that cannot make frames arrive at a port.
  void use_bridge_device() { program_.reset(); }

 private:
  Result<> send_on_bridge_device(std::uint32_t bridge, ByteView frame);

  FileDescriptor program_;  ///< none where the kernel refused it
  FileDescriptor
      packets_;  ///< opened when needed: closing a packet socket takes the kernel tens of milliseconds
};

}  // namespace vmigrate::announce
