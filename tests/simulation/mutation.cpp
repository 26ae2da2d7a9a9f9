#include "mutation.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace vmigrate::simulation {
namespace {

constexpr std::array<std::pair<Mutation, std::string_view>, 14> kNames{{
    {Mutation::none, "none"},
    {Mutation::promise_not_written, "promise-not-written"},
    {Mutation::commit_written_late, "commit-written-late"},
    {Mutation::commit_not_written, "commit-not-written"},
    {Mutation::no_tombstone, "no-tombstone"},
    {Mutation::answers_from_memory, "answers-from-memory"},
    {Mutation::silence_is_refusal, "silence-is-refusal"},
    {Mutation::doubt_is_refusal, "doubt-is-refusal"},
    {Mutation::undecided_is_refusal, "undecided-is-refusal"},
    {Mutation::libvirt_resumes, "libvirt-resumes"},
    {Mutation::removed_with_finish, "removed-with-finish"},
    {Mutation::discard_lies, "discard-lies"},
    {Mutation::no_veto, "no-veto"},
    {Mutation::frame_repeated, "frame-repeated"},
}};

}  // namespace

std::string_view name_of(Mutation mutation) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& each) { return each.first == mutation; })
      ->second;
}

std::optional<Mutation> mutation_of(std::string_view name) {
  const auto found =
      std::find_if(kNames.begin(), kNames.end(), [&](const auto& each) { return each.second == name; });
  return found == kNames.end() ? std::nullopt : std::optional(found->first);
}

}  // namespace vmigrate::simulation
