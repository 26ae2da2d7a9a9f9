#include "cli/hook.hpp"

#include <array>
#include <filesystem>
#include <system_error>

#include <fmt/format.h>

namespace vmigrate::cli {
namespace {

namespace fs = std::filesystem;

constexpr auto kProgram = "vmigrate-libvirt-hook";
constexpr auto kFolder = "/etc/libvirt/hooks/qemu.d";

/// Beside this program as it is installed, or as it is built.
Result<fs::path> find_program() {
  std::error_code error;
  const auto here = fs::read_symlink("/proc/self/exe", error).parent_path();
  const std::array folders{here / "../libexec/vmigrate", here / "../hook"};
  for (const auto& folder : folders) {
    const auto program = fs::weakly_canonical(folder / kProgram, error);
    if (!error && fs::is_regular_file(program, error)) return program;
  }
  return fail(ErrorCode::not_found, fmt::format("there is no {} in {}", kProgram, folders[0].string()),
              "install vmigrate again");
}

}  // namespace

Result<std::string> install_hook() {
  const auto program = find_program();
  if (!program) return fail(program.error());
  const auto link = fs::path(kFolder) / "vmigrate";
  std::error_code error;
  if (fs::equivalent(link, *program, error)) return fmt::format("{} is in place already", link.string());
  // A link to what is gone, or of another version.
  if (fs::is_symlink(link, error)) fs::remove(link, error);
  fs::create_directories(kFolder, error);
  if (!error) fs::create_symlink(*program, link, error);
  if (error) {
    return fail(error == std::errc::permission_denied ? ErrorCode::not_allowed : ErrorCode::failed,
                fmt::format("cannot make {}: {}", link.string(), error.message()),
                "run this as root, on the host itself");
  }
  return fmt::format("made {}; now let libvirt see it: systemctl reload libvirtd (or virtqemud)",
                     link.string());
}

}  // namespace vmigrate::cli
