#include "control/client.hpp"

#include <array>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "control/socket_address.hpp"
#include "fixture.hpp"

namespace vmigrate::control {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ClientTest : public ControlTest {
 protected:
  vmigrate::Error connect_error() const {
    const auto client = Client::connect(socket_path());
    EXPECT_FALSE(client);
    return client ? vmigrate::Error{} : client.error();
  }
};

TEST_F(ClientTest, WithoutASocketItSaysThatTheDaemonDoesNotRun) {
  const auto error = connect_error();
  EXPECT_EQ(error.code, ErrorCode::unreachable);
  EXPECT_EQ(error.message, "migrated does not run on this host: there is no socket " + socket_path());
  EXPECT_THAT(error.hint, HasSubstr("systemctl start migrated"));
}

TEST_F(ClientTest, WithASocketThatNobodyListensOnItSaysSoToo) {
  const FileDescriptor dead(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = socket_address(socket_path()).value();
  ASSERT_EQ(::bind(dead.get(), as_sockaddr(address), sizeof(address)), 0);
  const auto error = connect_error();
  EXPECT_EQ(error.code, ErrorCode::unreachable);
  EXPECT_EQ(error.message, "migrated does not run on this host: nobody answers on " + socket_path());
}

/// Runs in a child process, since a user cannot be changed back. Writes what connect() said.
void report_error_as_nobody(const std::string& path, int pipe) {
  const bool changed = ::geteuid() != 0 || ::setresuid(65534, 65534, 65534) == 0;
  const auto client = Client::connect(path);
  const std::string text = !changed || client ? "connected"
                                              : std::to_string(exit_code(client.error().code)) + "\n" +
                                                    client.error().message + "\n" + client.error().hint;
  _exit(::write(pipe, text.data(), text.size()) < 0 ? 1 : 0);
}

TEST_F(ClientTest, WhoMayNotUseTheSocketIsToldHowToBeAllowed) {
  serve([](const Request&, const Caller&, auto responder) { responder->finish({}); },
        {.path = {}, .group = ::geteuid() == 0 ? "daemon" : ""});
  ASSERT_EQ(::chmod(in_folder("").c_str(), 0755), 0);
  // Without root, not even one's own socket may be used like this.
  ASSERT_EQ(::chmod(socket_path().c_str(), 0), 0);

  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const FileDescriptor reading(pipe[0]);
  FileDescriptor writing(pipe[1]);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) report_error_as_nobody(socket_path(), writing.get());
  writing.reset();
  std::string text(4096, '\0');
  text.resize(
      static_cast<std::size_t>(std::max<ssize_t>(::read(reading.get(), text.data(), text.size()), 0)));
  ::waitpid(child, nullptr, 0);
  EXPECT_THAT(text, StartsWith("5\n"));
  EXPECT_THAT(text, HasSubstr("may not use migrated's socket " + socket_path()));
  if (::geteuid() == 0) {
    EXPECT_THAT(text, HasSubstr("usermod -aG daemon nobody"));
  }
}

TEST_F(ClientTest, ADaemonThatGoesAwayBeforeItsLastResponseIsAnError) {
  const FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = socket_address(socket_path()).value();
  ASSERT_EQ(::bind(listening.get(), as_sockaddr(address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  auto client = Client::connect(socket_path()).value();
  {
    const FileDescriptor accepted(::accept(listening.get(), nullptr, nullptr));
    write_all(accepted, to_frame(version_response(1)).value() + "ha");
  }
  EXPECT_EQ(client.receive().value()->version().protocol(), 1u);
  const auto lost = client.receive();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::unreachable);
  EXPECT_THAT(lost.error().message, HasSubstr("before its answer was complete"));
}

TEST_F(ClientTest, AnAnswerThatCannotBeReadIsAnError) {
  const FileDescriptor listening(::socket(AF_UNIX, SOCK_STREAM, 0));
  const auto address = socket_address(socket_path()).value();
  ASSERT_EQ(::bind(listening.get(), as_sockaddr(address), sizeof(address)), 0);
  ASSERT_EQ(::listen(listening.get(), 1), 0);
  for (const auto& bytes : {std::string("\xff\xff\xff\x7f", 4), std::string("\x02\x00\x00\x00\xff\xff", 6)}) {
    auto client = Client::connect(socket_path()).value();
    const FileDescriptor accepted(::accept(listening.get(), nullptr, nullptr));
    write_all(accepted, bytes);
    const auto response = client.receive();
    ASSERT_FALSE(response);
    EXPECT_THAT(response.error().message, HasSubstr("migrated's answer cannot be read"));
  }
}

}  // namespace
}  // namespace vmigrate::control
