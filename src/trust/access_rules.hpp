#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "base/error.hpp"

namespace vmigrate::trust {

/// What is asked of the daemon on this host, as the [allow] section of migrated.toml calls it.
enum class Verb { watch, check, start, cancel, resolve, pair };
std::string_view to_string(Verb verb);

/// Who asks, as the kernel says.
struct Person {
  uid_t uid = 0;
  std::string user{};
  std::vector<gid_t> groups{};
};

/// Who may do what on this host, of those who can reach the control socket at all. Root may always.
class AccessRules {
 public:
  /// `who`: users, groups with "@" in front, or "*" for everybody.
  void allow(Verb verb, std::vector<std::string> who) { rules_[verb] = std::move(who); }
  /// An error (not_allowed) names the rule and `host`, this one.
  Result<> permits(Verb verb, const Person& person, std::string_view host) const;

 private:
  const std::vector<std::string>& rule(Verb verb) const;
  std::map<Verb, std::vector<std::string>> rules_;
};

}  // namespace vmigrate::trust
