#pragma once

#include <optional>
#include <string_view>

namespace vmigrate::simulation {

/// Rules of the handover that can be broken on purpose, by what stands around the daemons: their code stays
/// what it is. Each has to be found out.
enum class Mutation {
  none,
  promise_not_written,   ///< the source's journal loses `relinquished`, and says that it has it
  commit_written_late,   ///< the destination's journal has `started` only once it is asked for what follows
  commit_not_written,    ///< it never has it
  no_tombstone,          ///< it loses `refused`
  answers_from_memory,   ///< what a source that asks is told is forgotten with the daemon
  silence_is_refusal,    ///< a destination that cannot be reached counts as one that has refused
  doubt_is_refusal,      ///< "in doubt" is read as "refused"
  undecided_is_refusal,  ///< "undecided" is read as "refused"
  libvirt_resumes,       ///< the source's hypervisor does not wait for the answer to Finish
  removed_with_finish,   ///< the source's copy is removed as soon as Finish has left
  discard_lies,          ///< what came in is said to be gone, and is not
  no_veto,               ///< nothing keeps a host from starting a stale definition
  frame_repeated,        ///< a connection that comes back begins with the frame that came in last
};
std::string_view name_of(Mutation mutation);
std::optional<Mutation> mutation_of(std::string_view name);

}  // namespace vmigrate::simulation
