// What a person is told when a host cannot be reached, or is not who it should be.
#include <thread>

#include <gmock/gmock.h>
#include <sys/socket.h>

#include "peer/redialler.hpp"
#include "peer/tcp.hpp"
#include "sockets.hpp"
#include "two_hosts.hpp"

namespace vmigrate::peer {
namespace {

using testing::AllOf;
using testing::Field;
using testing::HasSubstr;
using testing::Not;

auto is_error(ErrorCode code, const std::string& words) {
  return AllOf(Field(&Error::code, code), Field(&Error::message, HasSubstr(words)),
               Field("hint", &Error::hint, Not("")));
}

class Dialling : public TwoHosts {};

TEST_F(Dialling, JoinsTwoHostsThatTrustTheSameAuthority) {
  listen();
  auto session = dial();
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ((*session)->peer().host, "hostb");
  EXPECT_EQ((*session)->peer().address, "127.0.0.1:" + std::to_string(port()));
  const auto other = accepted();
  EXPECT_EQ(other->peer().host, "hosta");
  EXPECT_THAT(other->peer().address, HasSubstr("127.0.0.1:"));
}

// As libvirt's own servercert.pem is.
TEST_F(Dialling, JoinsTwoHostsWhoseCertificatesAreForServersOnly) {
  const auto for_servers = [this](const std::string& name) {
    return endpoint(authority_.issue(CertificateWish{.names = {name}, .extended_key_usage = "serverAuth"}));
  };
  auto there = for_servers("hostb");
  there.peers["hosta"] = {};
  listen(there);
  auto here = for_servers("hosta");
  here.peers["hostb"] = {"127.0.0.1", port()};
  auto session = TlsDialer(std::move(here)).dial("hostb");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(accepted()->peer().host, "hosta");
}

TEST_F(Dialling, SaysThatAHostIsNotConfigured) {
  EXPECT_THAT(refused_dial(endpoint("hosta"), "hostx"), is_error(ErrorCode::not_found, "hostx"));
}

TEST_F(Dialling, SaysThatNothingListens) {
  EXPECT_THAT(refused_dial(dialling(unused_port())), is_error(ErrorCode::unreachable, "refused"));
}

TEST_F(Dialling, SaysThatANameCannotBeResolved) {
  auto here = endpoint("hosta");
  here.peers["hostb"] = {"no-such-host.invalid", 1};
  EXPECT_THAT(refused_dial(here), is_error(ErrorCode::unreachable, "no-such-host.invalid"));
}

TEST_F(Dialling, GivesUpOnAHostThatTakesConnectionsAndSaysNothing) {
  patience_.opening = Milliseconds(200);
  const auto silent = listen_anywhere();
  EXPECT_THAT(refused_dial(dialling(port_of(silent))), is_error(ErrorCode::unreachable, "does not answer"));
}

TEST_F(Dialling, SaysThatSomethingElseListensThere) {
  const auto server = listen_anywhere();
  std::thread other([&server] {
    const FileDescriptor connection(::accept4(server.get(), nullptr, nullptr, SOCK_CLOEXEC));
    send_all(connection, as_byte_view("220 mail.example ESMTP\r\n"));
    ::shutdown(connection.get(), SHUT_WR);
    read_to_end(connection);
  });
  EXPECT_THAT(refused_dial(dialling(port_of(server))), is_error(ErrorCode::refused, "something else"));
  other.join();
}

TEST_F(Dialling, RefusesAHostOfAnotherAuthority) {
  CertificateAuthority other;
  auto there = endpoint(other.issue("hostb"));
  there.peers["hosta"] = {};
  listen(there);
  EXPECT_THAT(refused_dial(dialling(port())), is_error(ErrorCode::not_allowed, "certificate"));
}

TEST_F(Dialling, IsRefusedByAHostOfAnotherAuthority) {
  CertificateAuthority other;
  // It shows a certificate that is trusted here, and does not trust the one it sees.
  auto files = authority_.issue("hostb");
  files.ca = other.certificate_file();
  auto there = endpoint(files);
  there.peers["hosta"] = {};
  listen(there);
  EXPECT_THAT(refused_dial(dialling(port())), is_error(ErrorCode::not_allowed, "this host's certificate"));
}

TEST_F(Dialling, RefusesAnExpiredCertificate) {
  using std::chrono::hours;
  auto there = endpoint(authority_.issue({.names = {"hostb"}, .begins = hours(-48), .ends = hours(-24)}));
  there.peers["hosta"] = {};
  listen(there);
  EXPECT_THAT(refused_dial(dialling(port())), is_error(ErrorCode::not_allowed, "expired"));
}

TEST_F(Dialling, GoesOnWithASessionOfWhichTheCertificateHasExpired) {
  using std::chrono::hours;
  auto there = endpoint(authority_.issue({.names = {"hostb"}, .begins = hours(-48), .ends = hours(-24)}));
  there.peers["hosta"] = {};
  listen(there);
  const auto soon = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const auto stream = connect_to(dialling(port()), "hostb", {"127.0.0.1", port()}, Traffic::bulk, soon);
  EXPECT_TRUE(stream) << stream.error().message;
}

TEST_F(Dialling, SaysThatThisHostsCertificateHasExpired) {
  using std::chrono::hours;
  listen();
  auto here = endpoint(authority_.issue({.names = {"hosta"}, .begins = hours(-48), .ends = hours(-24)}));
  here.peers["hostb"] = {"127.0.0.1", port()};
  EXPECT_THAT(refused_dial(here), is_error(ErrorCode::not_allowed, "expired"));
}

TEST_F(Dialling, RefusesAHostWithAnotherHostsCertificate) {
  auto there = endpoint("hostc");
  there.peers["hosta"] = {};
  listen(there);
  EXPECT_THAT(refused_dial(dialling(port())), is_error(ErrorCode::not_allowed, "for hostc, not for hostb"));
}

TEST_F(Dialling, RefusesAHostWhoseCertificateHasNoName) {
  auto there = endpoint(authority_.issue(CertificateWish{}));
  there.peers["hosta"] = {};
  listen(there);
  EXPECT_THAT(refused_dial(dialling(port())), is_error(ErrorCode::not_allowed, "no name"));
}

TEST_F(Dialling, IsToldThatThisHostIsNotConfiguredThere) {
  auto there = endpoint("hostb");
  there.peers["hostc"] = {};
  listen(there);
  EXPECT_THAT(refused_dial(dialling(port())), is_error(ErrorCode::not_allowed, "hosta"));
}

TEST_F(Dialling, NamesBothVersionsWhenTheyDoNotMatch) {
  listen();
  auto here = dialling(port());
  here.protocol = 9;
  here.oldest_protocol = 8;
  here.software = "7.7.7";
  const auto error = refused_dial(here);
  EXPECT_THAT(error, is_error(ErrorCode::refused, "1.2.3"));
  EXPECT_THAT(error.message, AllOf(HasSubstr("7.7.7"), HasSubstr("8 to 9"), HasSubstr("1 to 1")));
  expect_still_listening();
}

TEST_F(Dialling, SpeaksTheOlderVersionOfTheTwo) {
  listen();
  auto here = dialling(port());
  here.protocol = 2;
  here.oldest_protocol = 1;
  EXPECT_TRUE(TlsDialer(here).dial("hostb"));
}

TEST_F(Dialling, AgreesOnTheFeaturesThatBothHave) {
  auto there = endpoint("hostb");
  there.peers["hosta"] = {};
  there.features = {"newer", "common", "also-common"};
  listen(there);
  auto here = dialling(port());
  here.features = {"also-common", "common", "older"};
  const auto session = TlsDialer(here).dial("hostb");
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_THAT((*session)->peer().features, testing::UnorderedElementsAre("common", "also-common"));
  EXPECT_EQ(accepted()->peer().features, (*session)->peer().features);
}

TEST_F(Dialling, OpensNoMoreConnectionsForMemoryThanTheListenerGrants) {
  bulk_connections_ = 1;
  listen();
  auto here = dialling(port());
  here.bulk_connections = {2, 8};
  auto session = TlsDialer(std::move(here)).dial("hostb");
  ASSERT_TRUE(session) << session.error().message;
  auto there = accepted();
  there->start({[](Lane, const ByteBuffer&) {}, [](const Error&) {}});
  // Its one connection says its end, and the receiver waits for no other.
  ASSERT_TRUE((*session)->bulk_sender().finish());
  EXPECT_TRUE(there->bulk_receiver().read()->empty());
}

TEST_F(Dialling, LeavesAListenerThatWantsMoreConnectionsThanItWasAskedFor) {
  bulk_connections_ = 4;
  auto greedy = endpoint("hostb");
  greedy.bulk_connections = {4, 4};
  greedy.peers["hosta"] = {"127.0.0.1", 1};
  listen(std::move(greedy));
  auto here = dialling(port());
  here.bulk_connections = {0, 0};  // it does not say how many, and takes none
  EXPECT_EQ(refused_dial(std::move(here)).code, ErrorCode::refused);
}

TEST_F(Dialling, SaysThatAPortIsTaken) {
  const auto taken = listen_anywhere();
  const auto listener = Listener::create(endpoint("hostb"), "127.0.0.1", port_of(taken), [](auto) {});
  ASSERT_FALSE(listener);
  EXPECT_THAT(listener.error(), is_error(ErrorCode::failed, std::to_string(port_of(taken))));
}

TEST_F(Dialling, SaysWhichCredentialFileIsUnusable) {
  const auto good = authority_.issue("hosta");
  auto missing = good;
  missing.certificate = authority_.in_folder("none.pem");
  auto not_matching = good;
  not_matching.key = authority_.issue("hosta").key;
  auto not_a_certificate = good;
  not_a_certificate.ca = good.key;
  for (const auto& [files, culprit] : {std::pair(missing, missing.certificate),
                                       {not_matching, not_matching.key},
                                       {not_a_certificate, not_a_certificate.ca}}) {
    const auto credentials = Credentials::load(files);
    ASSERT_FALSE(credentials);
    EXPECT_THAT(credentials.error(), is_error(ErrorCode::failed, culprit));
  }
}

}  // namespace
}  // namespace vmigrate::peer
