#include "trust/access_rules.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <grp.h>

namespace vmigrate::trust {
namespace {

/// A group that there is not has no members.
bool is_in_group(const Person& person, const std::string& name) {
  std::array<char, 65536> memory{};
  group entry{};
  group* found = nullptr;
  if (::getgrnam_r(name.c_str(), &entry, memory.data(), memory.size(), &found) != 0 || found == nullptr)
    return false;
  return std::ranges::find(person.groups, found->gr_gid) != person.groups.end();
}

bool is_meant(const std::string& who, const Person& person) {
  if (who == "*") return true;
  if (who.starts_with('@')) return is_in_group(person, who.substr(1));
  return who == person.user;
}

}  // namespace

std::string_view to_string(Verb verb) {
  switch (verb) {
    case Verb::watch: return "watch";
    case Verb::check: return "check";
    case Verb::start: return "start";
    case Verb::cancel: return "cancel";
    case Verb::resolve: return "resolve";
    case Verb::pair: return "pair";
  }
  return "watch";
}

const std::vector<std::string>& AccessRules::rule(Verb verb) const {
  // Whoever may manage VMs here may move them. Whom this host trusts is another matter, and root's.
  static const std::vector<std::string> everybody{"*"};
  static const std::vector<std::string> nobody;
  const auto found = rules_.find(verb);
  if (found != rules_.end()) return found->second;
  return verb == Verb::pair ? nobody : everybody;
}

Result<> AccessRules::permits(Verb verb, const Person& person, std::string_view host) const {
  if (person.uid == 0) return {};
  const auto& allowed = rule(verb);
  if (std::ranges::any_of(allowed, [&](const std::string& who) { return is_meant(who, person); })) return {};
  const std::string whom =
      allowed.empty() ? "root alone" : fmt::format("{} and root", fmt::join(allowed, ", "));
  return fail(
      ErrorCode::not_allowed,
      fmt::format("{} may not do this on {}: the rule '{}' in [allow] is for {}", person.user, host,
                  to_string(verb), whom),
      fmt::format("run it as root, or have an administrator change [allow] in migrated.toml on {}", host));
}

}  // namespace vmigrate::trust
