#include "daemon/certificate.hpp"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../peer/certificate_authority.hpp"
#include "folder.hpp"

namespace vmigrate::daemon {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::system_clock;
using testing::ElementsAre;
using testing::HasSubstr;

std::string content_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class CertificateTest : public testing::Test {
 protected:
  static CertificateReport examine(const peer::CredentialFiles& files) {
    const auto report = examine_certificate(files);
    EXPECT_TRUE(report) << report.error().message;
    return report.value_or(CertificateReport());
  }

  /// By the openssl program, with an extended key usage.
  peer::CredentialFiles self_signed(const std::string& usage, const std::string& days_valid) const {
    const std::string stem = folder_.file(usage.substr(0, 10));
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x"
        " -addext subjectAltName=DNS:hosta -addext extendedKeyUsage=" +
        usage + " -days " + days_valid + " -keyout " + stem + ".key -out " + stem + ".pem 2>" +
        folder_.file("openssl.log");
    EXPECT_EQ(std::system(command.c_str()), 0) << content_of(folder_.file("openssl.log"));  // NOLINT
    return {stem + ".pem", stem + ".key", stem + ".pem"};
  }

  const TemporaryFolder folder_;
  peer::CertificateAuthority authority_;
};

TEST_F(CertificateTest, SaysForWhomAndUntilWhen) {
  const auto before = system_clock::now();
  const auto report = examine(authority_.issue({.names = {"hosta", "other"}, .ends = days(90)}));
  EXPECT_THAT(report.names, ElementsAre("hosta", "other"));
  EXPECT_EQ(report.rejected_because, "");
  // Certificates have whole seconds, of a clock that may be a tick behind.
  EXPECT_GE(report.expires, before + days(90) - std::chrono::seconds(2));
  EXPECT_LE(report.expires, system_clock::now() + days(90));
}

TEST_F(CertificateTest, TheAuthoritysEndIsTheCertificatesEndToo) {
  // The test authority is good for 3650 days.
  const auto report = examine(authority_.issue({.names = {"hosta"}, .ends = days(365 * 20)}));
  EXPECT_LE(report.expires, system_clock::now() + days(3650));
}

TEST_F(CertificateTest, OneForServersOnlyIsAcceptedAndOneForClientsOnlyIsNot) {
  EXPECT_EQ(examine(self_signed("serverAuth,clientAuth", "9")).rejected_because, "");
  EXPECT_EQ(examine(self_signed("serverAuth", "9")).rejected_because, "");
  EXPECT_THAT(examine(self_signed("clientAuth", "9")).rejected_because, HasSubstr("purpose"));
}

TEST_F(CertificateTest, AnExpiredOneIsRejectedAndSaysWhenItEnded) {
  const auto report =
      examine(authority_.issue({.names = {"hosta"}, .begins = hours(-20), .ends = hours(-10)}));
  EXPECT_THAT(report.rejected_because, HasSubstr("expired"));
  EXPECT_LT(report.expires, system_clock::now() - hours(9));
}

TEST_F(CertificateTest, AFileOfSeveralAuthoritiesIsSearched) {
  const std::string old = self_signed("serverAuth", "9").ca;
  auto files = authority_.issue("hosta");
  const std::string both = folder_.file("both.pem");
  std::ofstream(both) << content_of(old) << content_of(files.ca);
  files.ca = both;
  EXPECT_EQ(examine(files).rejected_because, "");
}

}  // namespace
}  // namespace vmigrate::daemon
