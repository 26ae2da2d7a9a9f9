#include "handover/runtime_directory.hpp"

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <vector>

#include <sys/stat.h>

namespace vmigrate::handover {

std::string runtime_directory_of(const std::string& runtime_folder, const MigrationId& migration) {
  return runtime_folder + "/" + migration.text();
}

bool is_under_way(const std::string& runtime_folder, const MigrationId& migration) {
  std::error_code ignored;  // then it is not known to be there
  return std::filesystem::is_directory(runtime_directory_of(runtime_folder, migration), ignored);
}

Result<RuntimeDirectory> RuntimeDirectory::create(std::string path) {
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST) return fail_errno("cannot make " + path, errno);
  return RuntimeDirectory(std::move(path));
}

RuntimeDirectory::~RuntimeDirectory() {
  std::error_code ignored;  // what is left is removed at the daemon's next start
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

void remove_stale_runtime_directories(const std::string& runtime_folder) {
  std::error_code error;
  std::vector<std::filesystem::path> stale;
  for (const auto& entry : std::filesystem::directory_iterator(runtime_folder, error)) {
    if (entry.is_directory(error) && MigrationId::parse(entry.path().filename().string()))
      stale.push_back(entry.path());
  }
  for (const auto& path : stale) std::filesystem::remove_all(path, error);
}

}  // namespace vmigrate::handover
