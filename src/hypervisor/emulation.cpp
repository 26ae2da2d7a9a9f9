#include "hypervisor/emulation.hpp"

#include <cstdint>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "hypervisor/libvirt_handles.hpp"
#include "hypervisor/monitor.hpp"

namespace vmigrate::hypervisor {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kFirstGood = 9;
// What one word of a bitmap stands for, of pages of 4 KiB.
constexpr std::int64_t kWordOfPages = 64 * 4096;

/// The number at this place of an answer; -1 where there is none.
std::int64_t number(const std::string& answer, const char* place) {
  const auto read = Json::parse(answer, nullptr, false);
  const auto path = Json::json_pointer(place);
  if (read.is_discarded() || !read.contains(path) || !read[path].is_number_integer()) return -1;
  return read[path].get<std::int64_t>();
}

}  // namespace

bool keeps_emulated_memory(const std::string& version, const std::string& memory) {
  if (number(version, "/return/qemu/major") >= kFirstGood) return true;
  const auto base = number(memory, "/return/base-memory");
  return base > 0 && base % kWordOfPages != 0 && number(memory, "/return/plugged-memory") == 0;
}

Result<std::vector<Finding>> check_emulation(const DomainDescription& domain, virConnectPtr connection) {
  if (domain.accelerated || domain.state != DomainState::running) return std::vector<Finding>{};
  const Domain running(::virDomainLookupByUUIDString(connection, domain.id.text().c_str()));
  if (!running) return fail(libvirt_error("libvirt"));
  const auto version = ask_monitor(running.get(), R"({"execute":"query-version"})");
  if (!version) return fail(version.error());
  const auto memory = ask_monitor(running.get(), R"({"execute":"query-memory-size-summary"})");
  if (!memory) return fail(memory.error());
  if (keeps_emulated_memory(*version, *memory)) return std::vector<Finding>{};
  return std::vector<Finding>{
      {ErrorCode::refused,
       fmt::format(
           "{0} is emulated, and its QEMU, being older than 9.0, would lose what {0} writes while it moves",
           domain.name),
       fmt::format("suspend it for the move (virsh suspend {}), run it on KVM, or on QEMU 9.0 or newer",
                   domain.name)}};
}

}  // namespace vmigrate::hypervisor
