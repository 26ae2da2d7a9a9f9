#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace vmigrate::trust {

/// One rule of [[send]] or [[receive]] in migrated.toml. All are shell patterns (fnmatch(3)).
struct MoveRule {
  std::string vm = "*";                    ///< of the VM's name or UUID
  std::vector<std::string> hosts = {"*"};  ///< to which it may go, or from which it may come
};

struct MovedVm {
  std::string name;
  std::string id;
};

/// Which VMs may go where, or come from where: the first rule that is about a VM decides. Without any rule
/// all may, to and from every host that is known here; where there are rules, a VM that none is about may
/// not.
class MoveRules {
 public:
  enum class Direction { send, receive };
  explicit MoveRules(Direction direction) : direction_(direction) {}

  void add(MoveRule rule) { rules_.push_back(std::move(rule)); }
  /// An error (not_allowed) names the rule, and `here`, the host whose rule it is.
  Result<> permit(const MovedVm& vm, const std::string& host, std::string_view here) const;

 private:
  tl::unexpected<Error> refuse(const MovedVm& vm, const std::string& host, std::string_view here,
                               std::string why) const;

  const Direction direction_;
  std::vector<MoveRule> rules_;
};

}  // namespace vmigrate::trust
