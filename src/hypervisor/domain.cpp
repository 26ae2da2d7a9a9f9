#include "hypervisor/domain.hpp"

namespace vmigrate::hypervisor {

std::string_view to_string(DomainState state) {
  switch (state) {
    case DomainState::absent: return "absent";
    case DomainState::shut_off: return "shut off";
    case DomainState::running: return "running";
    case DomainState::paused: return "paused";
    case DomainState::incoming: return "incoming";
    case DomainState::crashed: return "crashed";
    case DomainState::unknown: return "unknown";
  }
  return "absent";
}

std::string_view to_string(AttachmentKind kind) {
  switch (kind) {
    case AttachmentKind::bridge: return "bridge";
    case AttachmentKind::macvtap: return "macvtap";
    case AttachmentKind::open_vswitch: return "Open vSwitch";
    case AttachmentKind::other: return "other";
  }
  return "other";
}

Finding finding_of(const Error& error) {
  return {error.code, error.message, error.hint};
}

}  // namespace vmigrate::hypervisor
