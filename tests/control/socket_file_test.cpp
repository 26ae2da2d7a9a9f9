#include <fstream>

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/server.hpp"
#include "control/socket_address.hpp"
#include "fixture.hpp"

namespace vmigrate::control {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class SocketFileTest : public ControlTest {
 protected:
  static void answer(const Request&, const Caller&, const std::shared_ptr<Responder>& responder) {
    responder->finish({});
  }
  struct stat status() const {
    struct stat result {};
    EXPECT_EQ(::stat(socket_path().c_str(), &result), 0);
    return result;
  }
  vmigrate::Error error_of(const std::string& path) const {
    FunctionHandler handler;
    const auto server = Server::create({.path = path, .group = {}}, handler);
    EXPECT_FALSE(server);
    return server ? vmigrate::Error{} : server.error();
  }
};

TEST_F(SocketFileTest, OwnerAndGroupMayUseItAndNobodyElse) {
  serve(answer);
  EXPECT_EQ(status().st_mode & 07777, 0660u);
}

TEST_F(SocketFileTest, ItIsGivenToTheGroup) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file to any group";
  const auto* group = ::getgrnam("daemon");  // NOLINT(concurrency-mt-unsafe): no other thread asks
  ASSERT_NE(group, nullptr);
  serve(answer, {.path = {}, .group = "daemon"});
  EXPECT_EQ(status().st_gid, group->gr_gid);
  EXPECT_EQ(status().st_mode & 07777, 0660u);
}

TEST_F(SocketFileTest, WithoutSuchAGroupItStaysWithItsOwner) {
  serve(answer, {.path = {}, .group = "no-such-group"});
  EXPECT_EQ(status().st_gid, ::getegid());
  EXPECT_THAT(ask_for_all(list_request()), SizeIs(1));
}

TEST_F(SocketFileTest, WhatADeadDaemonLeftIsReplaced) {
  {
    const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    const auto address = socket_address(socket_path()).value();
    ASSERT_EQ(::bind(dead.get(), as_sockaddr(address), sizeof(address)), 0);
    ASSERT_EQ(::listen(dead.get(), 1), 0);
  }
  serve(answer);
  EXPECT_THAT(ask_for_all(list_request()), SizeIs(1));
}

TEST_F(SocketFileTest, ASecondDaemonIsRefusedAndTheFirstServesOn) {
  serve(answer);
  const auto error = error_of(socket_path());
  EXPECT_EQ(error.code, ErrorCode::refused);
  EXPECT_THAT(error.message, HasSubstr("somebody already answers on it"));
  EXPECT_THAT(ask_for_all(list_request()), SizeIs(1));
}

TEST_F(SocketFileTest, AnotherProgramsSocketIsLeftAlone) {
  const FileDescriptor other(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = socket_address(socket_path()).value();
  ASSERT_EQ(::bind(other.get(), as_sockaddr(address), sizeof(address)), 0);
  ASSERT_EQ(::listen(other.get(), 1), 0);
  EXPECT_EQ(error_of(socket_path()).code, ErrorCode::refused);
  raw_connection();
}

TEST_F(SocketFileTest, AFileThatIsNoSocketIsLeftAlone) {
  std::ofstream(socket_path()) << "precious";
  EXPECT_THAT(error_of(socket_path()).message, HasSubstr("it exists and is not a socket"));
  std::string content;
  std::ifstream(socket_path()) >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(SocketFileTest, APathThatCannotBeOneIsRefused) {
  EXPECT_EQ(error_of(in_folder(std::string(120, 'x'))).code, ErrorCode::usage);
  EXPECT_EQ(error_of("").code, ErrorCode::usage);
  EXPECT_THAT(error_of(in_folder("missing/migrated.sock")).message, HasSubstr("No such file or directory"));
}

TEST_F(SocketFileTest, ItIsGoneWhenTheServerIs) {
  serve(answer);
  stop_serving();
  EXPECT_NE(::access(socket_path().c_str(), F_OK), 0);
  serve(answer);
  EXPECT_THAT(ask_for_all(list_request()), SizeIs(1));
}

}  // namespace
}  // namespace vmigrate::control
