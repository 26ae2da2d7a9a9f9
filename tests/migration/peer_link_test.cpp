#include "migration/peer_link.hpp"

#include <future>

#include <gtest/gtest.h>

#include "loopback.hpp"

namespace vmigrate::migration {
namespace {

TEST(PeerLink, WhatIsTakenIsHeardThoughTheMigrationsThreadIsBusy) {
  LoopbackNetwork network;
  std::promise<std::unique_ptr<peer::Session>> accepted;
  network.listen("hostb",
                 [&](std::unique_ptr<peer::Session> session) { accepted.set_value(std::move(session)); });
  auto session = network.dialer("hosta")->dial("hostb");
  ASSERT_TRUE(session);
  SystemThreads threads;
  const auto mailbox = std::make_shared<Mailbox>(threads);  // whose letters nobody opens
  std::promise<std::uint64_t> heard;
  const PeerLink link(std::move(*session), mailbox,
                      {.message = [](const ControlMessage&) {},
                       .hypervisor_message = [](const ByteBuffer&) {},
                       .return_path = [](const ByteBuffer&) {},
                       .lost = [](const Error&) {},
                       .taken = [&](const Taken& taken) { heard.set_value(taken.stream_bytes); }});
  const auto there = accepted.get_future().get();
  there->start({.message = [](peer::Lane, const ByteBuffer&) {}, .closed = [](const Error&) {}});
  there->send(peer::Lane::control, encode(Taken{4711}));
  auto said = heard.get_future();
  ASSERT_EQ(said.wait_for(std::chrono::seconds(20)), std::future_status::ready);
  EXPECT_EQ(said.get(), 4711U);
}

}  // namespace
}  // namespace vmigrate::migration
