#pragma once

#include <string>

#include "base/error.hpp"
#include "base/identifiers.hpp"

namespace vmigrate::handover {

/// The folder of one migration's sockets. It has the same path on both hosts, since libvirt takes one path
/// for both.
std::string runtime_directory_of(const std::string& runtime_folder, const MigrationId& migration);

/// Whether it is there: as long as the migration goes on, and its host has neither lost power nor been
/// started anew.
bool is_under_way(const std::string& runtime_folder, const MigrationId& migration);

/// Made for a migration, and removed with everything in it at the end of its life.
class RuntimeDirectory {
 public:
  static Result<RuntimeDirectory> create(std::string path);
  RuntimeDirectory(RuntimeDirectory&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(RuntimeDirectory&&) = delete;
  ~RuntimeDirectory();

 private:
  explicit RuntimeDirectory(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

/// Removes what an earlier life of this daemon left: the folders that are named like migrations, nothing
/// else.
void remove_stale_runtime_directories(const std::string& runtime_folder);

}  // namespace vmigrate::handover
