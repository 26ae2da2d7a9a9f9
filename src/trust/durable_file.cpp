#include "trust/durable_file.hpp"

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_descriptor.hpp"

namespace vmigrate::trust {
namespace {

Result<> write_all(int file, std::string_view content, const std::string& path) {
  while (!content.empty()) {
    const auto count = ::write(file, content.data(), content.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("cannot write " + path, errno);
    content.remove_prefix(static_cast<std::size_t>(count));
  }
  if (::fsync(file) != 0) return fail_errno("cannot write " + path, errno);
  return {};
}

}  // namespace

Result<> write_durably(const std::string& path, std::string_view content) {
  const std::string fresh = path + ".new";
  // What a crash has left is of no use to anybody.
  ::unlink(fresh.c_str());
  const FileDescriptor file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) return fail_errno("cannot write " + fresh, errno);
  if (auto written = write_all(file.get(), content, fresh); !written) {
    ::unlink(fresh.c_str());
    return written;
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return fail_errno("cannot write " + path, errno);
  const auto folder = std::filesystem::path(path).parent_path();
  const FileDescriptor entry(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!entry || ::fsync(entry.get()) != 0) return fail_errno("cannot write " + folder.string(), errno);
  return {};
}

}  // namespace vmigrate::trust
