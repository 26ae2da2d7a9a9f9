#include "hypervisor/runtime_directory.hpp"

#include <array>
#include <cerrno>
#include <optional>

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

namespace vmigrate::hypervisor {
namespace {

std::optional<gid_t> group_of_qemu() {
  for (const char* name : {"libvirt-qemu", "qemu"}) {
    std::array<char, 4096> buffer{};
    group entry{};
    group* found = nullptr;
    if (::getgrnam_r(name, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
      return entry.gr_gid;
  }
  return std::nullopt;
}

}  // namespace

Result<> open_to_qemu(const std::string& directory) {
  const auto group = group_of_qemu();
  if (!group) return {};
  constexpr mode_t mode = S_ISVTX | S_IRWXU | S_IWGRP | S_IXGRP;
  if (::chown(directory.c_str(), static_cast<uid_t>(-1), *group) != 0 ||
      ::chmod(directory.c_str(), mode) != 0) {
    return fail_errno("opening " + directory + " to QEMU", errno);
  }
  return {};
}

}  // namespace vmigrate::hypervisor
