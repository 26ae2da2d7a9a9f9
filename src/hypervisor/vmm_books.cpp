#include "hypervisor/vmm_books.hpp"

#include <filesystem>
#include <fstream>
#include <system_error>

#include <fmt/format.h>
#include <sys/stat.h>

namespace vmigrate::hypervisor {
namespace {

constexpr const char* kUnfinished = ".new";

tl::unexpected<Error> unreadable(const std::string& path) {
  return fail(ErrorCode::failed, fmt::format("{} cannot be read: it says which process has a VM", path),
              "look which process that is, and remove the file if it has ended");
}

Result<VmmRecord> read_record(const std::filesystem::path& path) {
  auto id = VmId::parse(path.filename().string());
  if (!id) return unreadable(path.string());
  VmmRecord record;
  record.id = std::move(*id);
  std::ifstream file(path);
  file >> record.process.pid >> record.process.start >> std::ws;
  std::getline(file, record.kind);
  std::getline(file, record.name);
  if (!file) return unreadable(path.string());
  return record;
}

}  // namespace

Result<VmmBooks> VmmBooks::open(std::string folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error)
    return fail(ErrorCode::failed, fmt::format("cannot make the folder {}: {}", folder, error.message()));
  ::chmod(folder.c_str(), S_IRWXU);
  return VmmBooks(std::move(folder));
}

Result<> VmmBooks::write(const VmmRecord& record) const {
  const auto path = folder_ + "/" + record.id.text();
  {
    std::ofstream file(path + kUnfinished, std::ios::trunc);
    file << record.process.pid << ' ' << record.process.start << '\n'
         << record.kind << '\n'
         << record.name << '\n';
    file.close();
    if (!file) return fail(ErrorCode::failed, "cannot write " + path);
  }
  std::error_code error;
  std::filesystem::rename(path + kUnfinished, path, error);
  if (error) return fail(ErrorCode::failed, fmt::format("cannot write {}: {}", path, error.message()));
  return {};
}

void VmmBooks::remove(const VmId& id) const {
  std::error_code ignored;  // what stays is about a process that has ended, and says so when it is read
  std::filesystem::remove(folder_ + "/" + id.text(), ignored);
}

Result<std::vector<VmmRecord>> VmmBooks::read() const {
  std::vector<VmmRecord> records;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder_, error)) {
    // Its VMM was not told yet that it is registered, and will say again what it is.
    if (entry.path().extension() == kUnfinished) continue;
    auto record = read_record(entry.path());
    if (!record) return fail(record.error());
    records.push_back(std::move(*record));
  }
  if (error) return fail(ErrorCode::failed, fmt::format("cannot read {}: {}", folder_, error.message()));
  return records;
}

}  // namespace vmigrate::hypervisor
