#include "hypervisor/storage_proof.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>

namespace vmigrate::hypervisor {
namespace {

namespace fs = std::filesystem;

void touch(const fs::path& path) {
  const std::ofstream file(path);
}

class StorageProofTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "vmigrate-storage-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    fs::create_directories(folder_ / "here");
    fs::create_directories(folder_ / "there");
    std::ofstream(folder_ / "here/web1.img") << "data";
    std::ofstream(folder_ / "there/web1.img") << "data";
    disk_.target = "vda";
    disk_.path = (folder_ / "here/web1.img").string();
    disk_.identity = make_identity(disk_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::size_t files_here() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_ / "here"), {}));
  }

  fs::path folder_;
  Disk disk_;
  StorageTokens tokens_;
};

TEST_F(StorageProofTest, SeesItsOwnStorageAndNotACopy) {
  ASSERT_TRUE(tokens_.publish({disk_}));
  EXPECT_TRUE(sees_same_storage(disk_));
  Disk copy = disk_;
  copy.path = (folder_ / "there/web1.img").string();
  EXPECT_FALSE(sees_same_storage(copy));
}

TEST_F(StorageProofTest, FollowsALinkToTheImage) {
  fs::create_symlink(disk_.path, folder_ / "there/link.img");
  ASSERT_TRUE(tokens_.publish({disk_}));
  Disk linked = disk_;
  linked.path = (folder_ / "there/link.img").string();
  EXPECT_TRUE(sees_same_storage(linked));
}

TEST_F(StorageProofTest, LeavesNothingBehind) {
  ASSERT_TRUE(tokens_.publish({disk_}));
  ASSERT_TRUE(tokens_.publish({disk_}));
  EXPECT_EQ(files_here(), 2U);
  tokens_.withdraw({disk_});
  EXPECT_EQ(files_here(), 1U);
  EXPECT_FALSE(sees_same_storage(disk_));
  {
    StorageTokens others;
    ASSERT_TRUE(others.publish({disk_}));
  }
  EXPECT_EQ(files_here(), 1U);
}

// A minute ago somebody has asked whether it could move; now it does, and the time of what was made then is
// over.
TEST_F(StorageProofTest, ATokenOutlivesThoseOfEarlierChecks) {
  Disk earlier = disk_;
  earlier.identity = make_identity(disk_);
  ASSERT_TRUE(tokens_.publish({earlier}));
  ASSERT_TRUE(tokens_.publish({disk_}));
  EXPECT_TRUE(sees_same_storage(earlier));
  tokens_.withdraw({earlier});
  EXPECT_FALSE(sees_same_storage(earlier));
  EXPECT_TRUE(sees_same_storage(disk_));
}

TEST_F(StorageProofTest, SweepsWhatACrashLeft) {
  const fs::path stale = folder_ / "here/.vmigrate-0123456789abcdef0123456789abcdef";
  touch(stale);
  fs::last_write_time(stale, fs::file_time_type::clock::now() - std::chrono::hours(2));
  ASSERT_TRUE(tokens_.publish({disk_}));
  EXPECT_FALSE(fs::exists(stale));
}

TEST_F(StorageProofTest, AnIdentityFromAPeerIsNoPath) {
  touch(folder_ / "here/.vmigrate-x");
  for (const std::string identity : {"file:x", "file:../../etc/passwd", "file:", "x", "", "block:1:2",
                                     "file:0123456789abcdef0123456789abcde/"}) {
    disk_.identity = identity;
    EXPECT_FALSE(sees_same_storage(disk_)) << identity;
    EXPECT_TRUE(tokens_.publish({disk_}));
    EXPECT_EQ(files_here(), 2U) << identity;
  }
}

TEST_F(StorageProofTest, SaysWhenNoTokenCanBeMade) {
  disk_.path = "/proc/self/status";
  disk_.identity = make_identity(disk_);
  EXPECT_FALSE(tokens_.publish({disk_}));
}

TEST_F(StorageProofTest, NothingToCompareForNetworkStorage) {
  disk_.network = true;
  EXPECT_EQ(make_identity(disk_), "");
}

}  // namespace
}  // namespace vmigrate::hypervisor
