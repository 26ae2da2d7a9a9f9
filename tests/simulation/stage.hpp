#pragma once

#include "chaos.hpp"
#include "mutation.hpp"
#include "scheduler.hpp"
#include "world.hpp"

namespace vmigrate::simulation {

/// What everything in a simulation stands on.
struct Stage {
  Scheduler& scheduler;
  World& world;
  Chaos& chaos;
  Mutation mutation = Mutation::none;
};

}  // namespace vmigrate::simulation
