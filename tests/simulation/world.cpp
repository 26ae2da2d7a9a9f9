#include "world.hpp"

#include <fmt/format.h>

namespace vmigrate::simulation {

using hypervisor::DomainState;

std::string name_of(Side side) {
  return side == Side::a ? "hosta" : "hostb";
}

DomainState World::state(Side side) {
  const Place& place = at(side);
  if (place.process) return place.process->state;
  return place.defined ? DomainState::shut_off : DomainState::absent;
}

void World::run(Side side) {
  auto& process = at(side).process;
  if (!process || process->state == DomainState::running) return;
  if (state(other(side)) == DomainState::running)
    violate(fmt::format("two copies run: {} began while {} ran", name_of(side), name_of(other(side))));
  if (process->version != newest_)
    violate(
        fmt::format("a second history: the copy on {} ran on, although a later one had run", name_of(side)));
  process->state = DomainState::running;
  process->version = ++newest_;
  process->is_the_vm = true;
  lost_ = false;
  scheduler_.trace(name_of(side) + " VM runs");
}

void World::stop(Side side) {
  auto& process = at(side).process;
  if (!process || process->state != DomainState::running) return;
  process->state = DomainState::paused;
  scheduler_.trace(name_of(side) + " VM stops");
}

void World::commit(Side side) {
  auto& process = at(side).process;
  if (!process || process->state != DomainState::paused || process->version != newest_) return;
  process->version = ++newest_;
  process->is_the_vm = true;
  lost_ = false;
}

void World::boot(Side side) {
  Place& place = at(side);
  if (place.process || !place.defined) return;
  if (holds_newest(other(side)))
    violate(fmt::format("a stale definition was started on {} while the VM is on {}", name_of(side),
                        name_of(other(side))));
  place.process = Process{++processes_, DomainState::paused, newest_};
  booted_ = true;
  run(side);
}

void World::create_incoming(Side side) {
  at(side).process = Process{++processes_, DomainState::incoming, 0, false};
  scheduler_.trace(name_of(side) + " VM incoming");
}

void World::end(Side side, bool by_accident) {
  Place& place = at(side);
  if (!place.process) return;
  const bool last = holds_newest(side) && !holds_newest(other(side));
  place.process.reset();
  scheduler_.trace(name_of(side) + " VM ends");
  if (!last || lost_) return;
  lost_ = true;
  if (!by_accident) violate(fmt::format("the VM is lost: its only copy was ended on {}", name_of(side)));
}

bool World::holds_newest(Side side) {
  const auto& process = at(side).process;
  return process && process->version == newest_ && process->is_the_vm;
}

void World::decide_for(Side side) {
  const auto& process = at(side).process;
  newest_ = process ? process->version : newest_ + 1;
  lost_ = !process;
  // A copy that stands still is older than whatever was booted elsewhere.
  if (process && process->state == DomainState::paused) booted_ = false;
}

void World::violate(const std::string& what) {
  scheduler_.trace("VIOLATION " + what);
  if (!violation_) violation_ = what;
}

}  // namespace vmigrate::simulation
