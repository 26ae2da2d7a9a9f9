#include "hypervisor/storage_proof.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/file_descriptor.hpp"
#include "base/identifiers.hpp"

namespace vmigrate::hypervisor {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFileIdentity = "file:";
constexpr std::string_view kTokenPrefix = ".vmigrate-";
// What a daemon that was killed has left behind is removed by the next one.
constexpr std::chrono::hours kStale{1};

std::string hex_digits() {
  std::string text = VmId::random().text();
  std::erase(text, '-');
  return text;
}

/// "…/images/.vmigrate-<digits>" for "…/images/web1.qcow2"; nothing for an identity that is none of ours.
std::optional<std::string> token_path(const Disk& disk) {
  std::string_view digits = disk.identity;
  if (!digits.starts_with(kFileIdentity)) return std::nullopt;
  digits.remove_prefix(kFileIdentity.size());
  const bool valid = digits.size() == 32 &&
                     std::all_of(digits.begin(), digits.end(),
                                 [](unsigned char character) { return std::isxdigit(character) != 0; });
  if (!valid || !disk.path.starts_with('/')) return std::nullopt;
  std::error_code error;
  // A link may lead elsewhere: the token belongs beside the image itself.
  const fs::path image = fs::canonical(disk.path, error);
  if (error) return std::nullopt;
  return (image.parent_path() / fmt::format("{}{}", kTokenPrefix, digits)).string();
}

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string block_identity(const std::string& path) {
  struct stat status {};
  // The path is another host's word: opening what is no block device may wait for ever, or do something.
  if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return "";
  const FileDescriptor device(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::uint64_t size = 0;
  if (!device || ::fstat(device.get(), &status) != 0 || !S_ISBLK(status.st_mode) ||
      ::ioctl(device.get(), BLKGETSIZE64, &size) != 0) {
    return "";
  }
  const std::string folder =
      fmt::format("/sys/dev/block/{}:{}", major(status.st_rdev), minor(status.st_rdev));
  for (const char* attribute : {"dm/uuid", "wwid", "device/wwid", "serial", "device/serial", "uuid"}) {
    const std::string identifier = first_line(folder + "/" + attribute);
    if (!identifier.empty()) return fmt::format("block:{}:{}", size, identifier);
  }
  return "";
}

void remove_stale_tokens(const fs::path& folder) {
  std::error_code error;
  const auto now = fs::file_time_type::clock::now();
  for (auto entry = fs::directory_iterator(folder, error); !error && entry != fs::directory_iterator();
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().filename().string().starts_with(kTokenPrefix) &&
        now - entry->last_write_time(ignored) > kStale && entry->file_size(ignored) == 0 && !ignored) {
      fs::remove(entry->path(), ignored);
    }
  }
}

Result<> make_token(const std::string& path) {
  remove_stale_tokens(fs::path(path).parent_path());
  const FileDescriptor token(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR));
  if (!token && errno != EEXIST) return fail_errno("writing " + path, errno);
  return {};
}

void remove_token(const std::string& path) {
  std::error_code ignored;
  fs::remove(path, ignored);
}

}  // namespace

std::string make_identity(const Disk& disk) {
  if (disk.network || !disk.path.starts_with('/')) return "";
  return disk.block_device ? block_identity(disk.path) : fmt::format("{}{}", kFileIdentity, hex_digits());
}

bool sees_same_storage(const Disk& disk) {
  if (disk.identity.empty()) return false;
  if (disk.block_device) return block_identity(disk.path) == disk.identity;
  const auto token = token_path(disk);
  std::error_code ignored;
  return token && fs::exists(*token, ignored);
}

StorageTokens::~StorageTokens() {
  for (const auto& [identity, path] : paths_) remove_token(path);
}

Result<> StorageTokens::publish(const std::vector<Disk>& disks) {
  for (const Disk& disk : disks) {
    const auto path = token_path(disk);
    if (!path) continue;
    if (auto made = make_token(*path); !made) return made;
    const std::lock_guard lock(mutex_);
    paths_.emplace(disk.identity, *path);
  }
  return {};
}

void StorageTokens::withdraw(const std::vector<Disk>& disks) {
  const std::lock_guard lock(mutex_);
  for (const Disk& disk : disks) {
    if (const auto token = paths_.extract(disk.identity)) remove_token(token.mapped());
  }
}

}  // namespace vmigrate::hypervisor
