#include "trust/move_rules.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

namespace vmigrate::trust {
namespace {

bool fits(const std::string& pattern, const std::string& text) {
  return ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
}

}  // namespace

Result<> MoveRules::permit(const MovedVm& vm, const std::string& host, std::string_view here) const {
  if (rules_.empty()) return {};
  const auto rule = std::ranges::find_if(
      rules_, [&](const MoveRule& each) { return fits(each.vm, vm.name) || fits(each.vm, vm.id); });
  if (rule == rules_.end()) return refuse(vm, host, here, "no rule is about this VM");
  if (std::ranges::any_of(rule->hosts, [&](const std::string& pattern) { return fits(pattern, host); }))
    return {};
  return refuse(
      vm, host, here,
      fmt::format("rule {} (vm = \"{}\") names {}", std::distance(rules_.begin(), rule) + 1, rule->vm,
                  rule->hosts.empty() ? "no host" : fmt::format("{}", fmt::join(rule->hosts, ", "))));
}

tl::unexpected<Error> MoveRules::refuse(const MovedVm& vm, const std::string& host, std::string_view here,
                                        std::string why) const {
  const bool send = direction_ == Direction::send;
  const std::string_view section = send ? "[[send]]" : "[[receive]]";
  return fail(ErrorCode::not_allowed,
              fmt::format("{} may not {} {}: {} in {} on {}", vm.name, send ? "go to" : "come from", host,
                          why, section, here),
              fmt::format("choose another host, or change {} in migrated.toml on {}", section, here));
}

}  // namespace vmigrate::trust
