#include "announce/frame_injector.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <linux/bpf.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace vmigrate::announce {
namespace {

std::uint64_t as_number(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

long bpf(bpf_cmd command, bpf_attr& attributes) {
  return ::syscall(SYS_bpf, command, &attributes, sizeof(attributes));
}

/// "r0 = XDP_PASS; exit": the frame goes on to the device's ordinary receive path.
FileDescriptor load_pass_program() {
  std::array<bpf_insn, 2> instructions{};
  instructions[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  instructions[0].dst_reg = BPF_REG_0;
  instructions[0].imm = XDP_PASS;
  instructions[1].code = BPF_JMP | BPF_EXIT;

  bpf_attr attributes{};
  attributes.prog_type = BPF_PROG_TYPE_XDP;
  attributes.insn_cnt = instructions.size();
  attributes.insns = as_number(instructions.data());
  attributes.license = as_number("");
  std::memcpy(attributes.prog_name, "vmigrate_pass", sizeof("vmigrate_pass"));
  return FileDescriptor(static_cast<int>(bpf(BPF_PROG_LOAD, attributes)));
}

/// False with errno when the kernel refused.
bool receive_at(const FileDescriptor& program, std::uint32_t port, ByteView frame) {
  xdp_md arrival{};
  arrival.data_end = static_cast<std::uint32_t>(frame.size());
  arrival.ingress_ifindex = port;

  bpf_attr attributes{};
  attributes.test.prog_fd = static_cast<std::uint32_t>(program.get());
  attributes.test.data_in = as_number(frame.data());
  attributes.test.data_size_in = static_cast<std::uint32_t>(frame.size());
  attributes.test.ctx_in = as_number(&arrival);
  attributes.test.ctx_size_in = sizeof(arrival);
  attributes.test.repeat = 1;
  attributes.test.batch_size = 1;
  attributes.test.flags = BPF_F_TEST_XDP_LIVE_FRAMES;
  return bpf(BPF_PROG_TEST_RUN, attributes) == 0;
}

}  // namespace

FrameInjector::FrameInjector() : program_(load_pass_program()) {
  if (!program_) {
    spdlog::debug("announcements are sent on the bridge device: {}", std::generic_category().message(errno));
  }
}

Result<> FrameInjector::inject(const BridgePort& where, ByteView frame) {
  if (program_) {
    if (receive_at(program_, where.port, frame)) return {};
    const int reason = errno;
    // The kernel answers a missing port and a missing feature alike.
    std::array<char, IF_NAMESIZE> name{};
    if (::if_indextoname(where.port, name.data()) == nullptr)
      return fail_errno("the VM's port is gone", ENODEV);
    spdlog::debug("announcements are sent on the bridge device: {}", std::generic_category().message(reason));
    program_.reset();
  }
  return send_on_bridge_device(where.bridge, frame);
}

Result<> FrameInjector::send_on_bridge_device(std::uint32_t bridge, ByteView frame) {
  // Protocol 0: this socket only sends.
  if (!packets_) packets_ = FileDescriptor(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!packets_) return fail_errno("cannot open a packet socket", errno);
  sockaddr_ll device{};
  device.sll_family = AF_PACKET;
  device.sll_ifindex = static_cast<int>(bridge);
  device.sll_halen = ETH_ALEN;
  std::memcpy(device.sll_addr, frame.data(), ETH_ALEN);
  if (::sendto(packets_.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&device),
               sizeof(device)) < 0) {
    return fail_errno("cannot send on the bridge", errno);
  }
  return {};
}

}  // namespace vmigrate::announce
