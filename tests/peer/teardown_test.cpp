// Sessions that end at every moment: nothing hangs, nothing is touched after its end (run with TSan and
// ASan).
#include <thread>

#include <gmock/gmock.h>

#include "relay.hpp"
#include "two_hosts.hpp"

namespace vmigrate::peer {
namespace {

class Teardown : public TwoHosts {
 protected:
  Teardown() {
    // Nobody answers a farewell in some of these.
    patience_.farewell = Milliseconds(50);
  }

  void dial_and_accept() {
    auto session = dial();
    ASSERT_TRUE(session) << session.error().message;
    here_ = std::move(*session);
    there_ = accepted();
  }
  void start_both() {
    here_->start(heard_here_.events());
    there_->start(heard_there_.events());
  }

  Recorder heard_here_;
  Recorder heard_there_;
  std::unique_ptr<Session> here_;
  std::unique_ptr<Session> there_;
};

TEST_F(Teardown, BeforeAnythingWasStarted) {
  listen();
  dial_and_accept();
  here_.reset();
  there_.reset();
}

TEST_F(Teardown, OfTheListenerLeavesItsSessions) {
  listen();
  dial_and_accept();
  stop_listening();
  start_both();
  here_->send(Lane::control, bytes_of("still here"));
  EXPECT_EQ(heard_there_.next_message().second, bytes_of("still here"));
}

TEST_F(Teardown, OfBothAtOnceWhileBothSend) {
  listen();
  for (int round = 0; round < 20; ++round) {
    dial_and_accept();
    start_both();
    std::thread other([this] {
      for (int i = 0; i < 50; ++i) there_->send(Lane::hypervisor_rpc, ByteBuffer(10'000));
      there_.reset();
    });
    for (int i = 0; i < 50; ++i) here_->send(Lane::control, ByteBuffer(10'000));
    here_.reset();
    other.join();
  }
}

TEST_F(Teardown, FromAThirdThreadWhileMemoryGoesOver) {
  listen();
  for (int round = 0; round < 20; ++round) {
    dial_and_accept();
    start_both();
    std::thread writer([this] {
      const ByteBuffer bytes(200'000);
      while (here_->bulk_sender().write(bytes)) {
      }
    });
    std::thread reader([this] {
      while (there_->bulk_receiver().read()) {
      }
    });
    std::thread closer([this, round] { (round % 2 == 0 ? here_ : there_)->close(); });
    closer.join();
    // The other side learns of it by itself.
    writer.join();
    reader.join();
    here_.reset();
    there_.reset();
  }
}

TEST_F(Teardown, WhenTheOtherEndHasVanishedWithoutAWord) {
  listen();
  Relay relay(port());
  auto session = TlsDialer(dialling(relay.port())).dial("hostb");
  ASSERT_TRUE(session);
  here_ = std::move(*session);
  there_ = accepted();
  start_both();
  relay.stall();
  for (int i = 0; i < 100; ++i) here_->send(Lane::hypervisor_rpc, ByteBuffer(100'000));
  here_.reset();
  there_.reset();
}

}  // namespace
}  // namespace vmigrate::peer
