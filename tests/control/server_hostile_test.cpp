#include <future>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "control/framing.hpp"
#include "control/server.hpp"
#include "fixture.hpp"

namespace vmigrate::control {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::SizeIs;

class HostileClientTest : public ControlTest {
 protected:
  void serve_versions(ServerOptions options = {}) {
    serve([](const Request&, const Caller&, auto responder) { responder->finish(version_response(1)); },
          std::move(options));
  }
  void expect_still_serving() { EXPECT_THAT(ask_for_all(list_request()), SizeIs(1)); }
};

TEST_F(HostileClientTest, AHugeLengthIsRefusedWithoutWaitingForIt) {
  serve_versions();
  const auto socket = raw_connection();
  write_all(socket, std::string("\xff\xff\xff\xff", 4));
  const auto response = only_response(read_to_end(socket));
  EXPECT_THAT(response.error().message(), HasSubstr("4294967295 bytes"));
  expect_still_serving();
}

TEST_F(HostileClientTest, GarbageIsRefused) {
  serve_versions();
  const auto socket = raw_connection();
  write_all(socket, std::string("\x05\x00\x00\x00", 4) + "\xff\xff\xff\xff\xff");
  const auto response = only_response(read_to_end(socket));
  EXPECT_EQ(response.error().code(), static_cast<std::uint32_t>(ErrorCode::usage));
  const auto [who, why] = next_turned_away();
  ASSERT_TRUE(who);
  EXPECT_EQ(who->uid, ::getuid());
  EXPECT_EQ(why.message, response.error().message());
  expect_still_serving();
}

TEST_F(HostileClientTest, AnEmptyRequestReachesTheHandlerAsOne) {
  std::promise<Request::RequestCase> seen;
  serve([&](const Request& request, const Caller&, auto responder) {
    seen.set_value(request.request_case());
    responder->finish({});
  });
  const auto socket = raw_connection();
  write_all(socket, std::string(4, '\0'));
  read_to_end(socket);
  EXPECT_EQ(seen.get_future().get(), Request::REQUEST_NOT_SET);
}

TEST_F(HostileClientTest, WhoSendsMoreThanOneRequestIsDropped) {
  std::promise<std::shared_ptr<Responder>> kept;
  serve([&](const Request&, const Caller&, auto responder) { kept.set_value(std::move(responder)); });
  const auto socket = raw_connection();
  write_all(socket, to_frame(list_request()).value());
  const auto responder = kept.get_future().get();
  write_all(socket, to_frame(list_request()).value());
  EXPECT_EQ(read_to_end(socket), "");
}

TEST_F(HostileClientTest, WhoSaysNothingIsDropped) {
  serve_versions({.patience = {.request = 20ms}});
  const auto silent = raw_connection();
  EXPECT_EQ(read_to_end(silent), "");
  const auto slow = raw_connection();
  write_all(slow, to_frame(list_request()).value().substr(0, 3));
  EXPECT_EQ(read_to_end(slow), "");
}

TEST_F(HostileClientTest, WhoDoesNotReadItsAnswerIsDropped) {
  std::promise<void> gone;
  serve(
      [&](const Request&, const Caller&, auto responder) {
        responder->on_disconnect([&] { gone.set_value(); });
        Response response;
        response.mutable_version()->set_version(std::string(900'000, 'x'));
        responder->finish(response);
      },
      {.patience = {.response = 20ms}});
  const auto socket = raw_connection();
  write_all(socket, to_frame(list_request()).value());
  gone.get_future().wait();
}

TEST_F(HostileClientTest, AWatcherMayWaitLongerThanThePatienceForOneResponse) {
  std::promise<std::shared_ptr<Responder>> kept;
  serve([&](const Request&, const Caller&, auto responder) { kept.set_value(std::move(responder)); },
        {.patience = {.request = 20ms, .response = 20ms}});
  auto client = Client::connect(socket_path()).value();
  ASSERT_TRUE(client.send(list_request()));
  const auto responder = kept.get_future().get();
  responder->send(version_response(1));
  EXPECT_TRUE(client.receive().value());
  // Another client, which is dropped for its silence, measures the time for us.
  EXPECT_EQ(read_to_end(raw_connection()), "");
  responder->finish(version_response(2));
  EXPECT_EQ(client.receive().value()->version().protocol(), 2u);
}

TEST_F(HostileClientTest, TooManyConnectionsAreToldSoAndOthersAreServedAgainLater) {
  constexpr std::size_t kMost = 8;
  serve_versions({.most_connections = kMost});
  std::vector<FileDescriptor> silent;
  for (std::size_t i = 0; i < kMost; ++i) silent.push_back(raw_connection());
  const auto responses = ask_for_all(list_request());
  ASSERT_THAT(responses, SizeIs(1));
  EXPECT_EQ(responses[0].error().code(), static_cast<std::uint32_t>(ErrorCode::unreachable));
  EXPECT_THAT(responses[0].error().message(), HasSubstr("8 clients already"));

  silent.clear();
  // The server learns of each closed connection in its own time, but in the end of all.
  while (ask_for_all(list_request()).at(0).has_error()) {
  }
}

TEST_F(HostileClientTest, ThousandsOfConnectionsDoNoHarm) {
  serve_versions();
  {
    std::vector<FileDescriptor> flood;
    flood.reserve(700);
    for (int i = 0; i < 700; ++i) flood.push_back(raw_connection());
  }
  for (int i = 0; i < 3000; ++i) raw_connection();
  while (ask_for_all(list_request()).at(0).has_error()) {
  }
  expect_still_serving();
}

}  // namespace
}  // namespace vmigrate::control
