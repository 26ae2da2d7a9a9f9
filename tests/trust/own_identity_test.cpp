#include "trust/own_identity.hpp"

#include <filesystem>
#include <fstream>
#include <memory>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "../daemon/folder.hpp"

namespace vmigrate::trust {
namespace {

using Clock = std::chrono::system_clock;

class OwnIdentity : public testing::Test {
 protected:
  Result<peer::CredentialFiles> ensure(const std::string& host = "hosta",
                                       Clock::time_point now = Clock::now()) {
    return ensure_own_identity(folder_.path(), host, now);
  }
  static peer::KeyFingerprint key_of(const peer::CredentialFiles& files) {
    return peer::Credentials::load(files)->own_key();
  }
  static std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const TemporaryFolder folder_;
};

TEST_F(OwnIdentity, IsMadeAtFirstNeedAndKept) {
  const auto files = ensure();
  ASSERT_TRUE(files) << files.error().message;
  const auto certificate = content(files->certificate);
  const auto credentials = peer::Credentials::load(*files);
  ASSERT_TRUE(credentials) << credentials.error().message;
  EXPECT_EQ(peer::certificate_names(::SSL_CTX_get0_certificate(credentials->context())),
            std::vector<std::string>{"hosta"});
  EXPECT_EQ(credentials->own_key().digits.size(), 64U);
  ASSERT_TRUE(ensure());
  EXPECT_EQ(content(files->certificate), certificate);
}

TEST_F(OwnIdentity, IsNobodyElsesToRead) {
  const auto files = *ensure();
  struct stat status {};
  ASSERT_EQ(::stat(files.key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  ASSERT_EQ(::stat(std::filesystem::path(files.key).parent_path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
}

TEST_F(OwnIdentity, ACertificateThatEndsSoonIsMadeAnewForTheSameKey) {
  const auto files = *ensure();
  const auto key = key_of(files);
  const auto certificate = content(files.certificate);
  ASSERT_TRUE(ensure("hosta", Clock::now() + std::chrono::days(3000)));
  EXPECT_EQ(content(files.certificate), certificate) << "there is more than a year left";
  ASSERT_TRUE(ensure("hosta", Clock::now() + std::chrono::days(3400)));
  EXPECT_NE(content(files.certificate), certificate);
  EXPECT_EQ(key_of(files), key);
}

TEST_F(OwnIdentity, AnotherNameOrALostCertificateMakesOneForTheSameKey) {
  const auto files = *ensure();
  const auto key = key_of(files);
  ASSERT_TRUE(ensure("hostz"));
  EXPECT_EQ(key_of(files), key);
  std::filesystem::remove(files.certificate);
  ASSERT_TRUE(ensure("hostz"));
  EXPECT_EQ(key_of(files), key);
}

TEST_F(OwnIdentity, AKeyThatCannotBeReadIsNotReplaced) {
  const auto files = *ensure();
  std::ofstream(files.key) << "damaged";
  const auto again = ensure();
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().hint.find("backup"), std::string::npos);
  EXPECT_EQ(content(files.key), "damaged");
}

TEST_F(OwnIdentity, TwoHostsHaveTwoKeys) {
  const TemporaryFolder other;
  EXPECT_NE(key_of(*ensure()), key_of(*ensure_own_identity(other.path(), "hosta", Clock::now())));
}

}  // namespace
}  // namespace vmigrate::trust
