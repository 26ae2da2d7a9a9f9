#include "pacing/switchover.hpp"

#include <algorithm>
#include <cmath>

namespace vmigrate::pacing {
namespace {

using std::chrono::duration_cast;

// The bound of what lies between QEMU and the wire, which is full while the network is waited for.
constexpr Milliseconds kQueue{50};
// QEMU loads the devices' state, libvirt asks it a few things and lets it run.
constexpr Milliseconds kDevicesWithKvm{20};
constexpr Milliseconds kDevicesEmulated{35};

// Shorter than any user notices, and so little that the first pass does not end in the pause.
constexpr Milliseconds kBegin{20};
// Of what is left for memory. QEMU takes the rate of its last 100 ms for the one that lasts; where the queue
// to the network has just taken a gulp, that is up to half more.
constexpr double kSure = 2.0 / 3;
// What has to be left for memory, however long the rest takes: with nothing QEMU would never stop the guest.
constexpr int kLeastPart = 4;

// Emulated guests are stopped by the first pass's rate, although what they have just written does not become
// as small. With all that the pause leaves, theirs took 0.25 to 0.5 s where the round trip was 40 and 100 ms;
// with this much less, 0.2 to 0.35.
constexpr double kEmulatedRoundTrips = 1.5;

Milliseconds for_memory(const SwitchoverTerms& terms) {
  const auto spared = terms.accelerated ? Milliseconds(0)
                                        : duration_cast<Milliseconds>(terms.round_trip * kEmulatedRoundTrips);
  const auto left = (terms.max_pause - pause_beside_memory(1, terms) - spared) * kSure;
  return std::max(duration_cast<Milliseconds>(left), terms.max_pause / kLeastPart);
}

}  // namespace

Milliseconds pause_beside_memory(double network, const SwitchoverTerms& terms) {
  const auto queue = kQueue * std::clamp(network, 0.0, 1.0);
  const auto devices = terms.accelerated ? kDevicesWithKvm : kDevicesEmulated;
  // The last bytes and Finish travel together, and the verdict comes back when the VM runs.
  return devices + duration_cast<Milliseconds>(queue) + duration_cast<Milliseconds>(terms.round_trip / 2);
}

Milliseconds downtime_limit(std::uint32_t pass, const SwitchoverTerms& terms) {
  const auto most = for_memory(terms);
  // An emulated VM is spared passes: each is a chance more for QEMU before 9.0 to lose memory (see
  // hypervisor/emulation.hpp). With limits that grow from pass to pass 2 of 3 guests did not answer
  // afterwards.
  if (!terms.accelerated) return most;
  // Only the second pass shows what the guest dirties meanwhile.
  const std::uint32_t doublings = std::min(std::max(pass, 2U) - 2, 20U);
  return std::min(most, kBegin * (1U << doublings));
}

bool is_largest_limit(Milliseconds limit, const SwitchoverTerms& terms) {
  return limit >= for_memory(terms);
}

std::optional<Milliseconds> pause_to_expect(Bytes remaining, Rate moved, double network, Milliseconds limit,
                                            const SwitchoverTerms& terms) {
  if (moved.bytes_per_second == 0) return std::nullopt;
  const double seconds = static_cast<double>(remaining.count) / static_cast<double>(moved.bytes_per_second);
  const auto most = std::chrono::duration<double>(limit).count();
  return pause_beside_memory(network, terms) +
         Milliseconds(std::llround(std::min(seconds, most / kSure) * 1000));
}

}  // namespace vmigrate::pacing
