#include "control/server.hpp"

#include <future>
#include <stdexcept>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "fixture.hpp"

namespace vmigrate::control {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class ServerTest : public ControlTest {};

TEST_F(ServerTest, ARequestReachesTheHandlerAndItsResponsesComeBackInOrder) {
  std::string vm;
  serve([&](const Request& request, const Caller&, auto responder) {
    vm = request.start().vm();
    for (std::uint32_t i = 1; i <= 3; ++i) responder->send(version_response(i));
    responder->finish(version_response(4));
  });
  Request request;
  request.mutable_start()->set_vm("web1");
  const auto responses = ask_for_all(request);
  EXPECT_EQ(vm, "web1");
  ASSERT_THAT(responses, SizeIs(4));
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(responses[i].version().protocol(), i + 1);
    EXPECT_EQ(responses[i].last(), i == 3);
  }
}

TEST_F(ServerTest, TheCallerIsWhoTheKernelSaysItIs) {
  Caller caller;
  serve([&](const Request&, const Caller& from, auto responder) {
    caller = from;
    responder->finish({});
  });
  ask_for_all(list_request());
  EXPECT_EQ(caller.uid, ::geteuid());
  EXPECT_EQ(caller.gid, ::getegid());
  EXPECT_EQ(caller.pid, ::getpid());
  if (::geteuid() == 0) {
    EXPECT_EQ(caller.user, "root");
  }
}

TEST_F(ServerTest, ARequestThatBlocksHoldsNobodyElseUp) {
  std::promise<void> release;
  serve([&, released = release.get_future().share()](const Request& request, const Caller&, auto responder) {
    if (request.has_check()) released.wait();
    responder->finish(version_response(1));
  });
  Request slow;
  slow.mutable_check();
  auto blocked = Client::connect(socket_path()).value();
  ASSERT_TRUE(blocked.send(slow));
  EXPECT_THAT(ask_for_all(list_request()), SizeIs(1));
  EXPECT_FALSE(blocked.receive_arrived().value());
  release.set_value();
  EXPECT_TRUE(blocked.receive().value());
}

TEST_F(ServerTest, AResponderMayAnswerLaterFromAnotherThread) {
  std::promise<std::shared_ptr<Responder>> kept;
  serve([&](const Request&, const Caller&, auto responder) { kept.set_value(std::move(responder)); });
  auto client = Client::connect(socket_path()).value();
  ASSERT_TRUE(client.send(list_request()));
  auto responder = kept.get_future().get();
  std::jthread([&] { responder->finish(version_response(7)); }).join();
  EXPECT_EQ(client.receive().value()->version().protocol(), 7u);
  EXPECT_FALSE(client.receive().value());
}

TEST_F(ServerTest, AWatcherThatDoesNotReadLosesProgressButNeverTheEnd) {
  constexpr std::uint32_t kMessages = 5000;
  std::promise<void> done;
  serve([&](const Request&, const Caller&, auto responder) {
    Response response;
    response.mutable_version()->set_version(std::string(4096, 'x'));
    for (std::uint32_t i = 1; i < kMessages; ++i) {
      response.mutable_version()->set_protocol(i);
      responder->send(response);  // 20 MB in all: far more than a socket holds
    }
    responder->finish(version_response(kMessages));
    done.set_value();
  });
  auto client = Client::connect(socket_path()).value();
  ASSERT_TRUE(client.send(list_request()));
  done.get_future().wait();  // the handler got through although nobody has read

  std::vector<std::uint32_t> numbers;
  while (const auto response = client.receive().value()) numbers.push_back(response->version().protocol());
  EXPECT_LT(numbers.size(), kMessages);
  EXPECT_TRUE(std::ranges::is_sorted(numbers));
  ASSERT_FALSE(numbers.empty());
  EXPECT_EQ(numbers.back(), kMessages);
}

TEST_F(ServerTest, AClientThatGoesAwayIsNoticedAndAnsweringItIsHarmless) {
  std::promise<std::shared_ptr<Responder>> kept;
  std::promise<void> gone;
  serve([&](const Request&, const Caller&, auto responder) {
    responder->on_disconnect([&] { gone.set_value(); });
    kept.set_value(responder);
  });
  auto client = std::make_optional(Client::connect(socket_path()).value());
  ASSERT_TRUE(client->send(list_request()));
  const auto responder = kept.get_future().get();
  client.reset();
  gone.get_future().wait();
  responder->send(version_response(1));
  responder->finish(version_response(2));
  bool called = false;
  responder->on_disconnect([&] { called = true; });
  EXPECT_TRUE(called) << "it is over already";
}

TEST_F(ServerTest, TheEndOfTheConnectionIsToldAlsoAfterTheLastResponse) {
  std::promise<void> over;
  serve([&](const Request&, const Caller&, auto responder) {
    responder->on_disconnect([&] { over.set_value(); });
    responder->finish({});
  });
  ask_for_all(list_request());
  over.get_future().wait();
}

TEST_F(ServerTest, AHandlerThatForgetsToAnswerDoesNotLeaveTheClientWaiting) {
  serve([](const Request&, const Caller&, const auto&) {});
  const auto responses = ask_for_all(list_request());
  ASSERT_THAT(responses, SizeIs(1));
  EXPECT_EQ(responses[0].error().code(), static_cast<std::uint32_t>(ErrorCode::needs_attention));
}

TEST_F(ServerTest, AnExceptionInAHandlerIsAnAnswerAndTheServerLives) {
  serve([](const Request&, const Caller&, const auto&) { throw std::runtime_error("broken"); });
  for (int i = 0; i < 2; ++i) {
    const auto responses = ask_for_all(list_request());
    ASSERT_THAT(responses, SizeIs(1));
    EXPECT_EQ(responses[0].error().message(), "migrated has an internal error: broken");
  }
}

TEST_F(ServerTest, AnAnswerThatIsTooLongIsAnErrorInsteadOfNothing) {
  serve([](const Request&, const Caller&, auto responder) {
    Response response;
    response.mutable_version()->set_version(std::string(kLongestMessage + 1, 'x'));
    responder->finish(response);
  });
  const auto responses = ask_for_all(list_request());
  ASSERT_THAT(responses, SizeIs(1));
  EXPECT_TRUE(responses[0].last());
  EXPECT_THAT(responses[0].error().message(), HasSubstr("the answer cannot be sent"));
}

TEST_F(ServerTest, ItsEndClosesConnectionsAndRespondersOutliveIt) {
  std::promise<std::shared_ptr<Responder>> kept;
  serve([&](const Request&, const Caller&, auto responder) { kept.set_value(std::move(responder)); });
  auto client = Client::connect(socket_path()).value();
  ASSERT_TRUE(client.send(list_request()));
  const auto responder = kept.get_future().get();
  stop_serving();
  responder->finish(version_response(1));
  const auto response = client.receive();
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().code, ErrorCode::unreachable);
}

TEST_F(ServerTest, AnAnswerGivenBeforeItsEndStillArrives) {
  constexpr std::size_t kSize = 900'000;  // more than a socket holds
  std::promise<void> answered;
  serve([&](const Request&, const Caller&, auto responder) {
    Response response;
    response.mutable_version()->set_version(std::string(kSize, 'x'));
    responder->finish(response);
    answered.set_value();
  });
  auto client = Client::connect(socket_path()).value();
  ASSERT_TRUE(client.send(list_request()));
  answered.get_future().wait();
  std::jthread ending([&] { stop_serving(); });
  const auto response = client.receive();
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ((*response)->version().version().size(), kSize);
}

TEST_F(ServerTest, ClosingDoesNotWaitForARequestThatBlocks) {
  std::promise<void> handling;
  std::promise<void> release;
  serve([&, released = release.get_future().share()](const Request&, const Caller&, auto responder) {
    handling.set_value();
    released.wait();
    responder->finish(version_response(1));
  });
  auto client = Client::connect(socket_path()).value();
  ASSERT_TRUE(client.send(list_request()));
  handling.get_future().wait();
  server().close();
  EXPECT_FALSE(client.receive());
  EXPECT_NE(::access(socket_path().c_str(), F_OK), 0);
  release.set_value();
}

}  // namespace
}  // namespace vmigrate::control
