#include "trust/paired_peers.hpp"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "../daemon/folder.hpp"

namespace vmigrate::trust {
namespace {

class PairedPeersTest : public testing::Test {
 protected:
  std::shared_ptr<PairedPeers> open() {
    auto opened = PairedPeers::open(path_);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *opened : nullptr;
  }
  void write(const std::string& text) const { std::ofstream(path_) << text; }
  static PairedPeer peer(const std::string& name, char digit) {
    return {
        name, {name + ".example.org", 16510}, {std::string(64, digit)}, 1'700'000'000'000, "root (uid 0)"};
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.file("peers.toml");
};

TEST_F(PairedPeersTest, KeepsWhatItWasTold) {
  ASSERT_TRUE(open()->add(peer("hostb", 'b')));
  ASSERT_TRUE(open()->add(peer("host.c", 'c')));
  const auto all = open()->list();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].name, "host.c");
  EXPECT_EQ(all[1].address.host, "hostb.example.org");
  EXPECT_EQ(all[1].address.port, 16510);
  EXPECT_EQ(all[1].paired_unix_ms, 1'700'000'000'000U);
  EXPECT_EQ(all[1].paired_by, "root (uid 0)");
  EXPECT_EQ(*open()->name_of({std::string(64, 'b')}), "hostb");
  EXPECT_FALSE(open()->name_of({std::string(64, 'd')}));
}

TEST_F(PairedPeersTest, AHostThatIsPairedAnewHasItsNewKeyAlone) {
  auto peers = open();
  ASSERT_TRUE(peers->add(peer("hostb", 'b')));
  ASSERT_TRUE(peers->add(peer("hostb", 'e')));
  EXPECT_FALSE(peers->name_of({std::string(64, 'b')}));
  EXPECT_EQ(*peers->name_of({std::string(64, 'e')}), "hostb");
}

TEST_F(PairedPeersTest, WhatIsTakenOutIsOutAfterARestart) {
  ASSERT_TRUE(open()->add(peer("hostb", 'b')));
  EXPECT_TRUE(*open()->remove("hostb"));
  EXPECT_TRUE(open()->list().empty());
  EXPECT_FALSE(*open()->remove("hostb"));
}

TEST_F(PairedPeersTest, WhatCannotBeWrittenIsNotTrustedEither) {
  auto peers = open();
  std::filesystem::create_directory(path_ + ".new");
  EXPECT_FALSE(peers->add(peer("hostb", 'b')));
  EXPECT_TRUE(peers->list().empty());
}

TEST_F(PairedPeersTest, ADamagedFileIsAnErrorAndNotAnEmptyOne) {
  for (const auto* text :
       {"[hostb", "hostb = 1", "[hostb]\nhost = \"x\"\nport = 1\nkey = \"abc\"",
        "[hostb]\nhost = \"x\"\nport = 1",
        "[hostb]\nport = 1\nkey = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"",
        "[hostb]\nhost = \"x\"\nport = 70000\nkey = "
        "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\""}) {
    write(text);
    const auto opened = PairedPeers::open(path_);
    ASSERT_FALSE(opened) << text;
    EXPECT_NE(opened.error().message.find(path_), std::string::npos);
  }
}

TEST_F(PairedPeersTest, IsNobodyElsesToRead) {
  ASSERT_TRUE(open()->add(peer("hostb", 'b')));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

}  // namespace
}  // namespace vmigrate::trust
