#include "hypervisor/monitor.hpp"

#include <libvirt/libvirt-qemu.h>

#include "hypervisor/libvirt_handles.hpp"

namespace vmigrate::hypervisor {

Result<nlohmann::json> returned(const std::string& answer) {
  const auto read = nlohmann::json::parse(answer, nullptr, false);
  if (read.is_object() && read.contains("return")) return read["return"];
  const auto place = nlohmann::json::json_pointer("/error/desc");
  if (!read.is_discarded() && read.contains(place) && read[place].is_string())
    return fail(ErrorCode::failed, "QEMU says: " + read[place].get<std::string>());
  return fail(ErrorCode::failed, "QEMU's answer is not understood: " + answer);
}

Result<nlohmann::json> ask_monitor(virDomainPtr domain, const std::string& command) {
  char* said = nullptr;
  if (::virDomainQemuMonitorCommand(domain, command.c_str(), &said,
                                    VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT) != 0)
    return fail(libvirt_error("asking QEMU"));
  return returned(take_text(said));
}

}  // namespace vmigrate::hypervisor
