#include "daemon/doctor.hpp"

#include <fstream>

#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon_fixture.hpp"

namespace vmigrate::daemon {
namespace {

using control::DoctorItem;
using std::chrono::days;
using std::chrono::hours;
using testing::HasSubstr;

class DoctorTest : public DaemonTest {
 protected:
  /// A finding that stands against migrations says what to do.
  DoctorItem bad(const std::string& subject) {
    auto item = examine(subject);
    EXPECT_EQ(item.verdict(), DoctorItem::BAD) << item.finding();
    EXPECT_NE(item.hint(), "") << item.finding();
    return item;
  }
  DoctorItem good(const std::string& subject) {
    auto item = examine(subject);
    EXPECT_EQ(item.verdict(), DoctorItem::GOOD) << item.finding();
    return item;
  }
};

TEST_F(DoctorTest, AHealthyHostHasOnlyGoodFindings) {
  EXPECT_EQ(good("hypervisor").finding(), "libvirt 9.0.0, QEMU 7.2.22");
  EXPECT_THAT(good("certificate").finding(), HasSubstr("good for 399 more days"));
  good("state folder");
  good("runtime folder");
  EXPECT_EQ(good("host hostb").finding(), "migrated test at 10.0.0.2:16510");
}

TEST_F(DoctorTest, SaysWhetherKvmCanBeUsed) {
  const auto item = examine("KVM");
  if (::access("/dev/kvm", R_OK | W_OK) == 0) {
    EXPECT_EQ(item.verdict(), DoctorItem::GOOD);
  } else {
    EXPECT_EQ(item.verdict(), DoctorItem::WARNING);
    EXPECT_THAT(item.hint(), HasSubstr("firmware"));
  }
}

TEST_F(DoctorTest, AHypervisorThatDoesNotAnswerIsBadAndTheRestIsExaminedNevertheless) {
  version_ = fail(ErrorCode::unreachable, "libvirt does not answer", "systemctl start libvirtd");
  const auto item = bad("hypervisor");
  EXPECT_EQ(item.finding(), "libvirt does not answer");
  EXPECT_EQ(item.hint(), "systemctl start libvirtd");
  good("certificate");
  good("host hostb");
}

// --- Certificates

TEST_F(DoctorTest, AnExpiredCertificateIsBad) {
  use_certificate({.names = {"hosta"}, .begins = hours(-48), .ends = hours(-1)});
  EXPECT_THAT(bad("certificate").finding(), HasSubstr("has expired"));
  EXPECT_THAT(bad("certificate").hint(), HasSubstr("a new one made"));
}

TEST_F(DoctorTest, ACertificateIsWarnedOfAMonthBeforeItsEnd) {
  use_certificate({.names = {"hosta"}, .ends = days(30) - hours(1)});
  const auto item = examine("certificate");
  EXPECT_EQ(item.verdict(), DoctorItem::WARNING);
  EXPECT_THAT(item.finding(), HasSubstr("good for 29 more days"));
  EXPECT_THAT(item.hint(), HasSubstr("restart migrated"));
  use_certificate({.names = {"hosta"}, .ends = days(30) + hours(1)});
  good("certificate");
  use_certificate({.names = {"hosta"}, .ends = hours(1)});
  EXPECT_THAT(examine("certificate").finding(), HasSubstr("good for 0 more days"));
}

TEST_F(DoctorTest, ACertificateThatIsNotValidYetIsBad) {
  use_certificate({.names = {"hosta"}, .begins = hours(24), .ends = hours(2400)});
  EXPECT_THAT(bad("certificate").finding(), HasSubstr("not yet valid"));
}

TEST_F(DoctorTest, ACertificateForAnotherHostIsBad) {
  use_certificate({.names = {"hostc", "hostd"}, .ends = days(400)});
  EXPECT_THAT(bad("certificate").finding(), HasSubstr("is for hostc, hostd, this host is hosta"));
  EXPECT_THAT(bad("certificate").hint(), HasSubstr("host.name"));
  use_certificate({.names = {"hostc", "hosta"}, .ends = days(400)});
  good("certificate");
}

TEST_F(DoctorTest, ACertificateWithoutANameIsBad) {
  use_certificate({.names = {}, .ends = days(400)});
  EXPECT_THAT(bad("certificate").finding(), HasSubstr("carries no name"));
}

TEST_F(DoctorTest, AKeyOfAnotherCertificateIsBad) {
  configuration_.tls.key = authority_.issue("hosta").key;
  const auto item = bad("certificate");
  EXPECT_THAT(item.finding(), HasSubstr(configuration_.tls.key));
  EXPECT_THAT(item.finding(), HasSubstr("mismatch"));
}

TEST_F(DoctorTest, ACertificateOfAnotherAuthorityIsBad) {
  const peer::CertificateAuthority other;
  configuration_.tls.ca = other.certificate_file();
  EXPECT_THAT(bad("certificate").finding(), HasSubstr("other hosts do not accept"));
  EXPECT_THAT(bad("certificate").hint(), HasSubstr(configuration_.tls.ca));
}

TEST_F(DoctorTest, FilesThatAreMissingOrHoldSomethingElseAreBadAndNamed) {
  const std::string garbage = folder_.file("garbage.pem");
  std::ofstream(garbage) << "not a certificate\n";
  for (auto* file : {&configuration_.tls.certificate, &configuration_.tls.key, &configuration_.tls.ca}) {
    const auto before = *file;
    *file = folder_.file("missing.pem");
    EXPECT_THAT(bad("certificate").finding(), HasSubstr("missing.pem"));
    *file = garbage;
    EXPECT_THAT(bad("certificate").finding(), HasSubstr("garbage.pem"));
    *file = before;
  }
  good("certificate");
}

// --- Folders

TEST_F(DoctorTest, AMissingFolderIsBad) {
  configuration_.paths.runtime = folder_.file("gone");
  EXPECT_EQ(bad("runtime folder").finding(), folder_.file("gone") + " does not exist");
  configuration_.paths.state = folder_.file("gone");
  EXPECT_THAT(bad("state folder").hint(), HasSubstr("restart migrated"));
}

TEST_F(DoctorTest, AFileInThePlaceOfAFolderIsBad) {
  const std::string file = folder_.file("file");
  std::ofstream(file) << "";
  configuration_.paths.state = file;
  EXPECT_EQ(bad("state folder").finding(), file + " is not a folder");
}

TEST_F(DoctorTest, AFolderThatCannotBeWrittenIsBad) {
  const std::string folder = folder_.file("read-only");
  std::filesystem::create_directory(folder);
  configuration_.paths.state = folder;
  // Permissions do not stop root, a file system that has gone read-only does.
  const bool root = ::geteuid() == 0;
  if (root) {
    if (::mount("tmpfs", folder.c_str(), "tmpfs", MS_RDONLY, "size=64k") != 0) {
      GTEST_SKIP() << "this root may not mount";
    }
  } else {
    ::chmod(folder.c_str(), 0500);
  }
  const auto item = bad("state folder");
  if (root) ::umount(folder.c_str());
  EXPECT_THAT(item.finding(), HasSubstr(folder + " cannot be written: "));
}

// --- Other hosts

TEST_F(DoctorTest, AHostThatDoesNotAnswerIsBadAndTheOthersAreExaminedNevertheless) {
  configuration_.peers["hostc"] = {.host = "10.0.0.3", .address = "10.0.0.3:16510"};
  EXPECT_EQ(bad("host hostc").finding(), "hostc does not answer");
  EXPECT_EQ(bad("host hostc").hint(), "start migrated there");
  good("host hostb");
}

TEST_F(DoctorTest, AHostThatKnowsNoOtherIsWarned) {
  configuration_.peers.clear();
  const auto item = examine("hosts");
  EXPECT_EQ(item.verdict(), DoctorItem::WARNING);
  EXPECT_THAT(item.hint(), HasSubstr("vmigrate pair HOST"));
}

}  // namespace
}  // namespace vmigrate::daemon
