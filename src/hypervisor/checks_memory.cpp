#include "hypervisor/checks_memory.hpp"

#include <fstream>

#include <fmt/format.h>

namespace vmigrate::hypervisor {
namespace {

// QEMU's own needs beside the guest's memory.
constexpr std::uint64_t kMemoryMargin = std::uint64_t{128} << 20;

}  // namespace

std::vector<Finding> check_memory(const DomainDescription& domain, Bytes available, const std::string& host) {
  const Bytes needed = domain.memory + Bytes{kMemoryMargin};
  if (needed <= available) return {};
  return {{ErrorCode::refused,
           fmt::format("{} needs {} of memory, {} has {} available", domain.name, to_string(needed), host,
                       to_string(available)),
           "make room there, or choose another host"}};
}

Result<Bytes> available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string name;
  std::uint64_t kibibytes = 0;
  std::string unit;
  while (file >> name >> kibibytes) {
    std::getline(file, unit);
    if (name == "MemAvailable:") return Bytes{kibibytes * 1024};
  }
  return fail(ErrorCode::failed, "/proc/meminfo does not say how much memory is available");
}

}  // namespace vmigrate::hypervisor
