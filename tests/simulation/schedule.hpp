#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mutation.hpp"

namespace vmigrate::simulation {

struct Outcome {
  std::optional<std::string> violation;
  std::uint64_t trace_sum = 0;
  std::uint64_t points = 0;  ///< that the daemons came to
  std::uint64_t kills = 0;
  bool moved = false;    ///< the move that the faults were about has succeeded
  bool decided = false;  ///< a person had to decide
};

struct Options {
  Mutation mutation = Mutation::none;
  /// Told everything that happens, with the time since the beginning.
  std::function<void(std::string_view)> listener{};
  std::string folder;  ///< an empty one, for both hosts
};

/// One schedule, from the first move over its faults to a last move without any. The seed says all.
Outcome run_schedule(std::uint64_t seed, const Options& options);

}  // namespace vmigrate::simulation
