#pragma once

#include <string>

#include <fmt/format.h>

#include "base/error.hpp"

namespace vmigrate::migration {

/// Why a session with a host has ended that was removed from those that this one trusts.
inline Error no_longer_trusted(const std::string& peer, const std::string& here) {
  return {ErrorCode::not_allowed, fmt::format("{} was removed from the hosts that {} trusts", peer, here),
          fmt::format("to trust it again: vmigrate pair {}", peer)};
}

}  // namespace vmigrate::migration
