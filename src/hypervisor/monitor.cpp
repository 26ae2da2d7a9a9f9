#include "hypervisor/monitor.hpp"

#include <libvirt/libvirt-qemu.h>

#include "hypervisor/libvirt_handles.hpp"

namespace vmigrate::hypervisor {

Result<std::string> ask_monitor(virDomainPtr domain, const std::string& command) {
  char* said = nullptr;
  if (::virDomainQemuMonitorCommand(domain, command.c_str(), &said,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT) != 0)
    return fail(libvirt_error("asking QEMU"));
  return take_text(said);
}

}  // namespace vmigrate::hypervisor
