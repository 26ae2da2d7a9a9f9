#include "mutation.hpp"

namespace vmigrate::simulation {

std::string_view name_of(Mutation mutation) {
  switch (mutation) {
    case Mutation::none: return "none";
    case Mutation::promise_not_written: return "promise-not-written";
    case Mutation::commit_written_late: return "commit-written-late";
    case Mutation::commit_not_written: return "commit-not-written";
    case Mutation::no_tombstone: return "no-tombstone";
    case Mutation::answers_from_memory: return "answers-from-memory";
    case Mutation::silence_is_refusal: return "silence-is-refusal";
    case Mutation::doubt_is_refusal: return "doubt-is-refusal";
    case Mutation::undecided_is_refusal: return "undecided-is-refusal";
    case Mutation::libvirt_resumes: return "libvirt-resumes";
    case Mutation::removed_with_finish: return "removed-with-finish";
    case Mutation::discard_lies: return "discard-lies";
    case Mutation::no_veto: return "no-veto";
  }
  return "none";
}

std::optional<Mutation> mutation_of(std::string_view name) {
  if (name == name_of(Mutation::none)) return Mutation::none;
  for (const auto mutation : kMutations) {
    if (name_of(mutation) == name) return mutation;
  }
  return std::nullopt;
}

}  // namespace vmigrate::simulation
