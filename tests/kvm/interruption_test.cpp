#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include <sys/socket.h>

#include "fixture.hpp"
#include "kvm/answers.hpp"

namespace vmigrate::kvm {
namespace {

using microvm::VirtualMachine;

/// Rounds without end: no pause is allowed in which anything would fit.
SendOptions never_ending() {
  SendOptions options;
  options.max_pause = Milliseconds(0);
  options.bandwidth = Rate{50'000'000};
  return options;
}

class Interruption : public KvmTest {
 protected:
  Interruption() : cancellation_(std::move(*Cancellation::create())) {}

  Cancellation cancellation_;
};

/// In each way to find dirty pages.
class InterruptionOf : public Interruption, public testing::WithParamInterface<DirtyLog> {
 protected:
  static microvm::Configuration usual(std::uint32_t vcpus = 1) {
    auto configuration = KvmTest::usual(vcpus);
    configuration.dirty_log = GetParam();
    if (GetParam() == DirtyLog::ring) configuration.dirty_ring_size = 1 << 20;
    return configuration;
  }
};

INSTANTIATE_TEST_SUITE_P(Kvm, InterruptionOf,
                         testing::Values(DirtyLog::plain, DirtyLog::manual, DirtyLog::ring),
                         [](const auto& log) {
                           return log.param == DirtyLog::plain    ? "plain"
                                  : log.param == DirtyLog::manual ? "manual"
                                                                  : "ring";
                         });

TEST_P(InterruptionOf, CancelledInEveryRoundTheGuestRunsOn) {
  const auto source = start_checker(usual(2));
  // With rings KVM does not answer that question.
  const bool logged = GetParam() != DirtyLog::ring;
  for (std::uint32_t round = 1; round <= 5; ++round) {
    auto cancellation = Cancellation::create();
    source->watch([&](const Progress& progress) {
      EXPECT_EQ(is_logged(*source, 1), logged);
      if (progress.round == round) cancellation->cancel();
      // Where the guest did not come to run meanwhile, nothing would be left to do.
      source->machine().mark_dirty(1, 0, kPageSize);
    });
    const auto destination = make(source->configuration());
    const auto moved = move(*source, *destination, never_ending(), *cancellation);
    ASSERT_FALSE(moved.sent);
    EXPECT_EQ(moved.sent.error().code, ErrorCode::cancelled);
    EXPECT_FALSE(moved.received);
    EXPECT_FALSE(destination->is_running());
    source->watch({});
    expect_as_if_nothing_had_been(*source);
  }
  expect_a_move_succeeds(*source);
}

TEST_P(InterruptionOf, RoundsWithoutEndEndWhenALongerPauseIsAllowed) {
  const auto source = start_checker(usual());
  auto options = never_ending();
  options.on_stall = OnStall::go_on;
  std::uint32_t last = 0;
  source->watch([&](const Progress& progress) {
    last = progress.round;
    if (progress.round == 8 && !progress.stopped) {
      EXPECT_TRUE(source->machine().allow_pause(std::chrono::minutes(1)));
    }
    source->machine().mark_dirty(1, 0, kPageSize);
  });
  const auto destination = make(source->configuration());
  const auto moved = move(*source, *destination, options);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_EQ(last, 9U);
  destination->run();
  expect_good_memory(*destination);
}

TEST_F(Interruption, WhatIsAllowedTooLateIsNotForTheNextMove) {
  const auto source = start_checker(usual());
  EXPECT_FALSE(source->machine().allow_pause(std::chrono::minutes(1)));
  auto cancellation = Cancellation::create();
  source->watch([&](const Progress&) { cancellation->cancel(); });
  ASSERT_FALSE(move(*source, *make(source->configuration()), never_ending(), *cancellation).sent);
  const auto late = source->machine().allow_pause(std::chrono::minutes(1));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::usage);
  EXPECT_FALSE(source->machine().slow_down(Percent{50}));
  // Neither would it end otherwise, nor be cancelled.
  source->watch([&](const Progress& progress) {
    EXPECT_FALSE(progress.stopped);
    EXPECT_EQ(progress.slowdown, Percent{});
    if (progress.round == 5) cancellation_.cancel();
    source->machine().mark_dirty(1, 0, kPageSize);
  });
  const auto next = move(*source, *make(source->configuration()), never_ending(), cancellation_);
  ASSERT_FALSE(next.sent);
  EXPECT_EQ(next.sent.error().code, ErrorCode::cancelled);
}

/// A guest of which pages are written in proportion to how long it runs.
class Slowing : public Interruption {
 protected:
  static constexpr std::uint32_t kLosesTime = 0x80000000;
  /// Where the checker's pages begin, in slot 1.
  static constexpr std::uint64_t kFilled = 0x300000;
  /// 4000 pages a second, of which the link takes half.
  static std::unique_ptr<VirtualMachine> start_restless() {
    return start(usual(), "memory_checker", 2048, kLosesTime | 4000, "filled");
  }
  static SendOptions options() {
    SendOptions options;
    options.max_pause = Milliseconds(50);
    options.bandwidth = Rate{2000 * kPageSize};
    options.on_stall = OnStall::go_on;
    return options;
  }
};

TEST_F(Slowing, AGuestThatWouldNotConvergeDoesWhenItIsSlowed) {
  const auto source = start_restless();
  std::uint32_t last_before = 0;
  Percent slowest{};
  source->watch([&](const Progress& progress) {
    slowest = std::max(slowest, progress.slowdown);
    if (progress.round <= 5) last_before = progress.round;
    if (progress.round == 5) {
      EXPECT_TRUE(source->machine().slow_down(Percent{85}));
    }
    // Where the guest hardly comes to run, as much is left all the same as it would write, until it is
    // slowed.
    if (slowest == Percent{}) source->machine().mark_dirty(1, kFilled, 1024 * kPageSize);
  });
  const auto destination = make(source->configuration());
  const auto moved = move(*source, *destination, options());
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  EXPECT_EQ(last_before, 5U) << "it converged without";
  EXPECT_EQ(slowest, Percent{85});
  destination->run();
  expect_good_memory(*destination);
}

TEST_F(Slowing, ItRunsFreelyAgainWhenTheMoveHasFailed) {
  const auto source = start_restless();
  const auto pages_a_second = [&] {
    const auto count = [&] {
      const auto answer = ask(*source);
      return std::stoull(answer.substr(answer.find("sequence=") + 9));
    };
    const auto before = count();
    std::this_thread::sleep_for(std::chrono::seconds(1));  // what is counted, not waited for
    return count() - before;
  };
  std::uint64_t slowed = 0;
  source->watch([&](const Progress& progress) {
    if (progress.round == 1 && progress.slowdown == Percent{}) {
      EXPECT_TRUE(source->machine().slow_down(Percent{90}));
    }
    if (progress.slowdown != Percent{90} || slowed != 0) return;
    slowed = pages_a_second();
    cancellation_.cancel();
  });
  ASSERT_FALSE(move(*source, *make(source->configuration()), options(), cancellation_).sent);
  EXPECT_GT(slowed, 0U);
  EXPECT_GT(pages_a_second(), slowed * 2);
  expect_as_if_nothing_had_been(*source);
}

TEST_F(Slowing, AGuestThatIsSlowedStopsAndGoesOnAsEver) {
  const auto vm = start_checker(usual(2));
  vm->slow_down(Percent{90});
  for (int i = 0; i < 200; ++i) {
    vm->stop();
    vm->run();
  }
  expect_good_memory(*vm);
  vm->slow_down({});
  expect_good_memory(*vm);
}

TEST_F(Interruption, ProgressIsToldWithinARound) {
  const auto source = start_checker(usual());
  auto options = never_ending();
  options.max_pause = Milliseconds(300);
  options.bandwidth = Rate{10'000'000};
  std::vector<std::uint64_t> first_round;
  source->watch([&](const Progress& progress) {
    if (progress.round == 1) first_round.push_back(progress.remaining.count);
  });
  const auto destination = make(source->configuration());
  const auto moved = move(*source, *destination, options);
  ASSERT_TRUE(moved.sent) << moved.sent.error().message;
  ASSERT_GT(first_round.size(), 1U);
  EXPECT_TRUE(std::is_sorted(first_round.rbegin(), first_round.rend()));
  EXPECT_GT(first_round.front(), first_round.back());
}

TEST_P(InterruptionOf, CancelledWithTheGuestStoppedItGoesOn) {
  const auto source = start_checker(usual());
  source->watch([&](const Progress& progress) {
    if (!progress.stopped) return;
    EXPECT_FALSE(source->is_running());
    cancellation_.cancel();
  });
  const auto moved = move(*source, *make(source->configuration()), {}, cancellation_);
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::cancelled);
  source->watch({});
  expect_as_if_nothing_had_been(*source);
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, CancelledBeforeItBegins) {
  const auto source = start_checker(usual());
  cancellation_.cancel();
  const auto moved = move(*source, *make(source->configuration()), {}, cancellation_);
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::cancelled);
  expect_as_if_nothing_had_been(*source);
}

TEST_P(InterruptionOf, TheOtherEndGoesAwayInTheMiddle) {
  const auto source = start_checker(usual());
  const auto destination = make(source->configuration());
  int socket = -1;
  source->watch([&](const Progress& progress) {
    if (progress.round == 2) ::shutdown(socket, SHUT_RDWR);
  });
  const auto moved = move_with(
      [&](int wire) {
        socket = wire;
        return source->machine().send(wire, never_ending(), cancellation_);
      },
      *destination);
  ASSERT_FALSE(moved.sent);
  EXPECT_EQ(moved.sent.error().code, ErrorCode::unreachable);
  ASSERT_FALSE(moved.received);
  EXPECT_EQ(moved.received.error().code, ErrorCode::unreachable);
  source->watch({});
  expect_as_if_nothing_had_been(*source);
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, TheDestinationGoesAwayWithoutSayingThatItHasLoaded) {
  const auto source = start_checker(usual());
  Wire wire;
  std::jthread destination([&] {
    // Accepts, takes everything, and is gone when the guest has stopped.
    const std::array accepted{std::byte{0x76}, std::byte{0x01}, std::byte{0}, std::byte{0}};
    (void)::send(wire.destination.get(), accepted.data(), accepted.size(), MSG_NOSIGNAL);
    ByteBuffer buffer(1 << 20);
    constexpr std::string_view end = "{}";
    for (;;) {
      const auto count = ::recv(wire.destination.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      if (as_text(ByteView(buffer).first(static_cast<std::size_t>(count))).ends_with(end)) break;
    }
    ::shutdown(wire.destination.get(), SHUT_RDWR);
  });
  const auto sent = source->machine().send(wire.source.get(), {}, cancellation_);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, ErrorCode::unreachable);
  expect_as_if_nothing_had_been(*source);
}

void send_all(int socket, ByteView bytes) {
  while (!bytes.empty()) {
    const auto count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

/// Carries everything between two hosts but the end of the state, in place of which the connection breaks.
class BreakingRelay {
 public:
  explicit BreakingRelay(const VirtualMachine& source) : source_(source) {
    answers_ = std::jthread([this] {
      ByteBuffer buffer(4096);
      ssize_t count = 0;
      while ((count = ::recv(far.source.get(), buffer.data(), buffer.size(), 0)) > 0)
        send_all(near.destination.get(), ByteView(buffer).first(static_cast<std::size_t>(count)));
    });
    stream_ = std::jthread([this] { carry_stream(); });
  }
  ~BreakingRelay() { break_off(); }

  Wire near;  ///< its `source` is the source's
  Wire far;   ///< its `destination` is the destination's

 private:
  void carry_stream() {
    // XSAVE alone is larger, and stands before it.
    constexpr std::size_t lost = 500;
    ByteBuffer held;
    ByteBuffer buffer(1 << 20);
    while (!as_text(held).ends_with("{}")) {
      const auto count = ::recv(near.destination.get(), buffer.data(), buffer.size(), 0);
      if (count <= 0) break;
      held.insert(held.end(), buffer.begin(), buffer.begin() + count);
      // What is sent while the guest runs is not the state.
      if (!source_.is_running()) continue;
      send_all(far.source.get(), held);
      held.clear();
    }
    send_all(far.source.get(), ByteView(held).first(held.size() - std::min(lost, held.size())));
    break_off();
  }
  void break_off() const {
    ::shutdown(far.source.get(), SHUT_RDWR);
    ::shutdown(near.destination.get(), SHUT_RDWR);
  }

  const VirtualMachine& source_;
  std::jthread answers_;
  std::jthread stream_;
};

TEST_F(Interruption, TheConnectionBreaksWithinTheState) {
  const auto source = start_checker(usual());
  const auto destination = make(usual());
  bool stopped = false;
  source->watch([&](const Progress& progress) { stopped = progress.stopped; });
  {
    BreakingRelay relay(*source);
    std::jthread receiver([&] {
      const auto received = destination->machine().receive(relay.far.destination.get(), cancellation_);
      ASSERT_FALSE(received);
      EXPECT_EQ(received.error().code, ErrorCode::unreachable) << received.error().message;
      EXPECT_FALSE(received.error().message.empty());
    });
    const auto sent = source->machine().send(relay.near.source.get(), {}, cancellation_);
    ::shutdown(relay.near.source.get(), SHUT_RDWR);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::unreachable) << sent.error().message;
  }
  EXPECT_TRUE(stopped) << "it broke before the state";
  EXPECT_FALSE(destination->machine().claim());
  source->watch({});
  expect_as_if_nothing_had_been(*source);
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, ADestinationThatIsCancelledLetsTheSourceRunOn) {
  const auto source = start_checker(usual());
  const auto destination = make(source->configuration());
  Wire wire;
  source->watch([&](const Progress& progress) {
    if (progress.round == 2) cancellation_.cancel();
  });
  std::jthread receiver([&] {
    const auto received = destination->machine().receive(wire.destination.get(), cancellation_);
    EXPECT_FALSE(received);
    ::shutdown(wire.destination.get(), SHUT_RDWR);
  });
  const auto own = Cancellation::create();
  const auto sent = source->machine().send(wire.source.get(), never_ending(), *own);
  ASSERT_FALSE(sent);
  source->watch({});
  expect_as_if_nothing_had_been(*source);
}

/// What answers in place of a destination that has accepted: reads until the guest is stopped, and then does
/// `then`.
class BadDestination {
 public:
  BadDestination(VirtualMachine& source, std::function<void(int socket)> then) : source_(source) {
    // So that the last round does not fit into what the socket holds.
    constexpr int small = 4096;
    ::setsockopt(wire.source.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    source.watch([this](const Progress& progress) { stopped_ = progress.stopped; });
    thread_ = std::jthread([this, then = std::move(then)] {
      say({Answer::Kind::accepted, false, {}});
      ByteBuffer buffer(4096);
      while (!stopped_ && ::recv(wire.destination.get(), buffer.data(), buffer.size(), 0) > 0) {
      }
      then(wire.destination.get());
    });
  }
  ~BadDestination() {
    ::shutdown(wire.source.get(), SHUT_RDWR);
    thread_.join();
    source_.watch({});
  }

  void say(const Answer& answer) const {
    const auto bytes = encode(answer);
    (void)::send(wire.destination.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  Wire wire;

 private:
  VirtualMachine& source_;
  std::atomic<bool> stopped_ = false;
  std::jthread thread_;
};

/// Rounds in which much is written, and a short patience.
SendOptions impatient() {
  SendOptions options;
  options.bandwidth = Rate{50'000'000};
  options.patience = Milliseconds(500);
  return options;
}

TEST_F(Interruption, ADestinationThatStopsReadingDoesNotKeepTheGuestStopped) {
  const auto source = start_checker(usual());
  {
    const BadDestination destination(*source, [](int) {});
    const auto begin = std::chrono::steady_clock::now();
    const auto sent = source->machine().send(destination.wire.source.get(), impatient(), cancellation_);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, ErrorCode::unreachable);
    EXPECT_NE(sent.error().message.find("in time"), std::string::npos) << sent.error().message;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  }
  expect_as_if_nothing_had_been(*source);
  expect_a_move_succeeds(*source);
}

TEST_F(Interruption, ARefusalIsHeardWhileItIsWrittenTo) {
  const auto source = start_checker(usual());
  {
    const auto refused = encode({Answer::Kind::refused, false, "no room"});
    const BadDestination destination(
        *source, [&](int socket) { (void)::send(socket, refused.data(), refused.size(), MSG_NOSIGNAL); });
    auto options = impatient();
    options.patience = Milliseconds(60'000);
    const auto begin = std::chrono::steady_clock::now();
    const auto sent = source->machine().send(destination.wire.source.get(), options, cancellation_);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().message, "the destination gave up: no room");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  }
  expect_as_if_nothing_had_been(*source);
}

// Either a whole answer that says nothing, again and again, or one of which every byte takes its time.
TEST_F(Interruption, AnswersWithoutEndDoNotKeepTheGuestStopped) {
  for (const bool whole : {true, false}) {
    const auto source = start_checker(usual());
    {
      const BadDestination destination(*source, [&](int socket) {
        const auto answer = whole ? encode({Answer::Kind::accepted, false, {}})
                                  : encode({Answer::Kind::refused, false, std::string(2000, 'x')});
        const std::jthread reader([&] {
          ByteBuffer buffer(4096);
          while (::recv(socket, buffer.data(), buffer.size(), 0) > 0) {
          }
        });
        for (std::size_t at = 0;; at = (at + 1) % answer.size()) {
          const auto size = whole ? answer.size() : 1;
          if (::send(socket, answer.data() + (whole ? 0 : at), size, MSG_NOSIGNAL) <= 0) return;
          if (!whole) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
      });
      const auto begin = std::chrono::steady_clock::now();
      ASSERT_FALSE(source->machine().send(destination.wire.source.get(), impatient(), cancellation_));
      EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(15));
    }
    expect_as_if_nothing_had_been(*source);
  }
}

TEST_F(Interruption, AVmThatIsStoppedAsSoonAsItRunsStops) {
  const auto vm = start_checker(usual(2));
  for (int i = 0; i < 1000; ++i) {
    vm->stop();
    vm->run();
  }
  expect_good_memory(*vm);
}

}  // namespace
}  // namespace vmigrate::kvm
