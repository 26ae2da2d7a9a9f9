#include "hypervisor/emulation.hpp"

#include <cstdint>

#include <fmt/format.h>

#include "hypervisor/monitor.hpp"

namespace vmigrate::hypervisor {

bool loses_emulated_memory(const nlohmann::json& version) {
  constexpr std::int64_t kFirstGood = 9;
  const auto place = nlohmann::json::json_pointer("/qemu/major");
  return !version.contains(place) || !version[place].is_number_integer() ||
         version[place].get<std::int64_t>() < kFirstGood;
}

Result<std::vector<Finding>> check_emulation(const DomainDescription& domain, virDomainPtr running) {
  const auto version = ask_monitor(running, R"({"execute":"query-version"})");
  if (!version) return fail(version.error());
  if (!loses_emulated_memory(*version)) return std::vector<Finding>{};
  return std::vector<Finding>{
      {ErrorCode::refused,
       fmt::format("{0} is emulated, and QEMU before 9.0 can lose what {0} writes while it moves",
                   domain.name),
       "run it on KVM, or on a newer QEMU; or see lossy_emulation in migrated.toml(5)"}};
}

}  // namespace vmigrate::hypervisor
