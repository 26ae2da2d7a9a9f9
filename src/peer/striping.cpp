#include "peer/striping.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>

namespace vmigrate::peer {
namespace {

constexpr double kWire = 10e9 / 8;      // bytes/s
constexpr double kProcessor = 5e9 / 8;  // bytes/s that one encrypts and hands to the kernel
// What the kernel has where nobody has changed it.
constexpr std::size_t kUsualSend = std::size_t{4} << 20;
constexpr std::size_t kUsualReceive = std::size_t{6} << 20;

std::size_t third_value(const char* setting, std::size_t otherwise) {
  std::ifstream file(setting);
  std::size_t value = 0;
  file >> value >> value >> value;
  return file && value > 0 ? value : otherwise;
}

}  // namespace

BufferLimits buffer_limits() {
  return {third_value("/proc/sys/net/ipv4/tcp_wmem", kUsualSend),
          third_value("/proc/sys/net/ipv4/tcp_rmem", kUsualReceive)};
}

int connections_for(std::chrono::nanoseconds round_trip, BufferLimits buffers, unsigned processors,
                    ConnectionLimits limits) {
  const double rate = std::min(kWire, kProcessor * std::max(processors, 1U));
  const double window = std::max<double>(static_cast<double>(std::min(buffers.send, buffers.receive)) / 2, 1);
  const double needed = std::ceil(rate * std::chrono::duration<double>(round_trip).count() / window);
  return static_cast<int>(std::clamp<double>(needed, limits.least, limits.most));
}

}  // namespace vmigrate::peer
