#include "migration/certificates.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace vmigrate::migration {
namespace {

constexpr Milliseconds kUsualMove = std::chrono::hours(1);

}  // namespace

Result<> certificates_last(const peer::PeerIdentity& peer, std::chrono::system_clock::time_point now,
                           std::optional<Milliseconds> limit) {
  const auto needed = limit.value_or(kUsualMove);
  // In this order: the end may be the end of all time.
  if (peer.certificates_end - needed >= now) return {};
  return fail(
      ErrorCode::refused,
      fmt::format("a certificate between this host and {} ends at {:%Y-%m-%d %H:%M} UTC, before the move "
                  "would be over (within {})",
                  peer.host, fmt::gmtime(std::chrono::system_clock::to_time_t(peer.certificates_end)),
                  vmigrate::to_string(needed)),
      "renew it; vmigrate doctor says on each of the two hosts how long its own is good");
}

}  // namespace vmigrate::migration
