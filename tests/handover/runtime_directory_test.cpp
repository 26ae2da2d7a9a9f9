#include "handover/runtime_directory.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "../daemon/folder.hpp"

namespace vmigrate::handover {
namespace {

namespace fs = std::filesystem;

class StaleRuntimeDirectories : public testing::Test {
 protected:
  static void make_folder(const fs::path& path) {
    fs::create_directories(path);
    make_file(path / "file");
  }
  static void make_file(const fs::path& path) { std::ofstream(path) << "content"; }
  bool is_there(const std::string& name) const { return fs::exists(fs::path(folder_.path()) / name); }

  const TemporaryFolder folder_;
  const std::string id_ = MigrationId::random().text();
};

TEST_F(StaleRuntimeDirectories, AreRemovedWithEverythingInThem) {
  make_folder(folder_.file(id_) + "/deeper");
  make_file(folder_.file(id_) + "/source.sock");
  remove_stale_runtime_directories(folder_.path());
  EXPECT_FALSE(is_there(id_));
}

TEST_F(StaleRuntimeDirectories, NoOthersAreRemoved) {
  const std::vector<std::string> others = {
      "web1",    id_.substr(1),   id_ + "0",           id_ + ".old",
      "." + id_, "{" + id_ + "}", "g" + id_.substr(1), std::string(36, '-'),
  };
  for (const auto& name : others) make_folder(folder_.file(name));
  // One level down it is no longer this daemon's.
  make_folder(folder_.file("web1/" + id_));
  make_folder(folder_.file(id_));
  remove_stale_runtime_directories(folder_.path());
  EXPECT_FALSE(is_there(id_)) << "nothing was looked at";
  for (const auto& name : others) EXPECT_TRUE(is_there(name + "/file")) << name;
  EXPECT_TRUE(is_there("web1/" + id_ + "/file"));
}

TEST_F(StaleRuntimeDirectories, NoFileIsRemoved) {
  make_file(folder_.file(id_));
  make_file(folder_.file("migrated.sock"));
  remove_stale_runtime_directories(folder_.path());
  EXPECT_TRUE(is_there(id_));
  EXPECT_TRUE(is_there("migrated.sock"));
}

TEST_F(StaleRuntimeDirectories, WhatALinkLeadsToStays) {
  const TemporaryFolder elsewhere;
  make_file(elsewhere.file("file"));
  fs::create_directory_symlink(elsewhere.path(), folder_.file(id_));
  remove_stale_runtime_directories(folder_.path());
  EXPECT_TRUE(fs::exists(elsewhere.file("file")));
}

TEST_F(StaleRuntimeDirectories, NoRuntimeFolderIsNoMatter) {
  remove_stale_runtime_directories(folder_.file("missing"));
}

}  // namespace
}  // namespace vmigrate::handover
