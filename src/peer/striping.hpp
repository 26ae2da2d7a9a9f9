#pragma once

#include <chrono>
#include <cstddef>

namespace vmigrate::peer {

/// How many bulk connections a session may have.
struct ConnectionLimits {
  int least = 2;
  int most = 8;
};

/// The most that one TCP connection may keep in the kernel, its bookkeeping included: the third values of
/// net.ipv4.tcp_wmem and tcp_rmem. The other host's are taken to be the same.
struct BufferLimits {
  std::size_t send = 0;
  std::size_t receive = 0;
};
BufferLimits buffer_limits();

/// How many connections it takes to fill a wire of 10 Gbit/s, or what the processors can encrypt if that is
/// less. A connection carries at most a window in a round trip (RFC 7323, 1.1):
///
///     connections = rate * round trip / window, rounded up
///
/// The window is taken for half of the smaller buffer: what tcp(7) says of the receiver's
/// (tcp_adv_win_scale), and a little less than what a sender was seen to have on its way (2.8 MB of 4 MiB).
/// The sizes are left to the kernel, which fits each to what the connection carries as long as nobody sets
/// it.
int connections_for(std::chrono::nanoseconds round_trip, BufferLimits buffers, unsigned processors,
                    ConnectionLimits limits);

}  // namespace vmigrate::peer
