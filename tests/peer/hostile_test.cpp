// What strangers and broken peers can do to a listener and to a session: nothing, but be turned away.
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>

#include "largest_block.hpp"
#include "peer/frame.hpp"
#include "peer/membership.hpp"
#include "sockets.hpp"
#include "two_hosts.hpp"

namespace vmigrate::peer {
namespace {

using testing::HasSubstr;

/// Somebody with a good certificate who does not keep to the protocol.
class Hostile : public TwoHosts {
 protected:
  static MonotonicTime soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }

  TlsStream connect(const Endpoint& as) const {
    auto stream = TlsStream::handshake(connect_to(port()), as.credentials, true, soon());
    EXPECT_TRUE(stream) << stream.error().message;
    return std::move(*stream);
  }
  TlsStream connect() { return connect(dialling(port())); }

  static wire::Opening hello() {
    wire::Opening opening;
    opening.mutable_hello()->set_protocol(kProtocol);
    opening.mutable_hello()->set_oldest_protocol(kOldestProtocol);
    return opening;
  }

  /// The connection of a session that hostb has accepted and started.
  TlsStream begin_session() {
    auto stream = connect();
    EXPECT_TRUE(write_opening(stream, hello(), soon()));
    auto answer = read_answer(stream, soon());
    EXPECT_TRUE(answer) << answer.error().message;
    welcome_ = answer->welcome();
    there_ = accepted();
    there_->start(heard_there_.events());
    return stream;
  }

  static Result<wire::OpeningAnswer> ask(TlsStream& stream, const wire::Opening& opening) {
    EXPECT_TRUE(write_opening(stream, opening, soon()));
    return read_answer(stream, soon());
  }

  /// Of the first bulk connection.
  wire::Opening join(const TlsStream& stream, std::uint32_t attempt = 1) const {
    wire::Opening opening;
    auto& join = *opening.mutable_join();
    join.set_session(welcome_.session());
    join.set_connection(1);
    join.set_attempt(attempt);
    EXPECT_TRUE(prove(join, welcome_.secret(), stream));
    return opening;
  }

  /// Until hostb has hung up.
  static void wait_for_hang_up(TlsStream& stream) {
    std::array<std::byte, 1> byte{};
    while (stream.read_exactly(byte, soon())) {
    }
  }

  static ByteBuffer lengths(std::uint32_t header, std::uint32_t payload) {
    ByteBuffer bytes(8);
    for (std::size_t i = 0; i < 4; ++i) {
      bytes[i] = static_cast<std::byte>(header >> (24 - 8 * i));
      bytes[4 + i] = static_cast<std::byte>(payload >> (24 - 8 * i));
    }
    return bytes;
  }

  void expect_session_refused(TlsStream& stream, ByteView bytes, const std::string& why) {
    largest_block = 0;
    (void)stream.write_all(bytes, soon());
    const auto error = heard_there_.wait_for_end();
    EXPECT_EQ(error.code, ErrorCode::refused);
    EXPECT_THAT(error.message, HasSubstr(why));
  }

  wire::Welcome welcome_;
  Recorder heard_there_;
  std::unique_ptr<Session> there_;
};

TEST_F(Hostile, GarbageOnThePortHurtsNobody) {
  listen();
  const std::vector<ByteBuffer> all{patterned_bytes(100'000, 1),        patterned_bytes(3, 2),
                                    bytes_of("GET / HTTP/1.1\r\n\r\n"), bytes_of("\x16\x03\x01\xff\xff"),
                                    lengths(UINT32_MAX, UINT32_MAX),    {}};
  for (const auto& bytes : all) {
    const auto socket = connect_to(port());
    largest_block = 0;
    send_all(socket, bytes);
    ::shutdown(socket.get(), SHUT_WR);
    read_to_end(socket);
    EXPECT_LT(largest_block, kMebibyte);
  }
  expect_still_listening();
}

TEST_F(Hostile, WhoeverSaysNothingIsHungUpOn) {
  patience_.opening = Milliseconds(300);
  listen();
  const auto silent = connect_to(port());
  const auto half = connect_to(port());
  send_all(half, as_byte_view(std::string("\x16\x03\x01\x02\x00\x01", 6)));
  auto authenticated = connect();
  auto half_hello = connect();
  ASSERT_TRUE(half_hello.write_all(ByteView(lengths(0, 100)), soon()));
  read_to_end(silent);
  read_to_end(half);
  wait_for_hang_up(authenticated);
  wait_for_hang_up(half_hello);
}

TEST_F(Hostile, WhoeverIsTurnedAwayIsToldOf) {
  BoundedQueue<TurnedAway> turned_away{SIZE_MAX};
  auto here = endpoint("hostb");
  here.peers["hosta"] = {"127.0.0.1", 1};
  here.turned_away = [&](const TurnedAway& who) { turned_away.push(who); };
  listen(here);

  send_all(connect_to(port()), bytes_of("GET / HTTP/1.1\r\n\r\n"));
  const auto stranger = *turned_away.pop();
  EXPECT_EQ(stranger.peer.host, "");
  EXPECT_THAT(stranger.peer.address, HasSubstr("127.0.0.1:"));

  auto unknown = connect(endpoint(authority_.issue("hostc")));
  EXPECT_FALSE(ask(unknown, hello()));
  const auto known = *turned_away.pop();
  EXPECT_EQ(known.peer.host, "");
  EXPECT_THAT(known.reason, HasSubstr("hostc, which is no host configured there"));

  auto peer = connect();
  wire::Opening wrong;
  wrong.mutable_join()->set_session("none");
  EXPECT_FALSE(ask(peer, wrong));
  const auto intruder = *turned_away.pop();
  EXPECT_EQ(intruder.peer.host, "hosta");
  EXPECT_THAT(intruder.reason, HasSubstr("the session to be joined is not known"));

  // Who is let in is not.
  expect_still_listening();
  stop_listening();
  EXPECT_EQ(turned_away.used(), 0U);
}

// Bytes that nobody reads any more would reset the connection, and the reason with it.
TEST_F(Hostile, AStrangerLearnsWhyItIsRefusedThoughItGoesOnTalking) {
  listen();
  CertificateAuthority other;
  auto files = other.issue("hosta");
  files.ca = authority_.certificate_file();
  auto stream = connect(endpoint(files));
  pollfd refused{stream.descriptor(), POLLIN, 0};
  ASSERT_EQ(::poll(&refused, 1, -1), 1);
  EXPECT_TRUE(write_opening(stream, hello(), soon()));
  const auto answer = ask(stream, hello());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::not_allowed) << answer.error().message;
}

TEST_F(Hostile, WhoseCertificateEndsGoesOnWithItsSessionAndBeginsNone) {
  using std::chrono::hours;
  listen();
  const auto control = begin_session();
  const auto later =
      endpoint(authority_.issue({.names = {"hosta"}, .begins = hours(-48), .ends = hours(-24)}));
  auto again = connect(later);
  const auto joined = ask(again, join(again));
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_TRUE(joined->has_joined());
  auto anew = connect(later);
  const auto refused = ask(anew, hello());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_allowed);
  EXPECT_THAT(refused.error().message, HasSubstr("expired"));
}

/// More than may be in their greetings at once, and than time would make room for in this test.
class Flood : public Hostile {
 protected:
  Flood() {
    patience_.opening = Milliseconds(60'000);
    listen();
  }
  void say_nothing(std::uint8_t from, int count = 200) {
    for (int i = 0; i < count; ++i) silent_.push_back(connect_to(port(), from));
  }

 private:
  std::vector<FileDescriptor> silent_;
};

TEST_F(Flood, FromOneAddressTakesNobodysPlace) {
  auto early = connect_to(port());
  say_nothing(2);
  // Whoever comes later finds room,
  expect_still_listening();
  // and whoever was there before has kept its place.
  auto stream = TlsStream::handshake(std::move(early), dialling(port()).credentials, true, soon());
  ASSERT_TRUE(stream) << stream.error().message;
  EXPECT_TRUE(ask(*stream, hello()));
}

// None of these addresses has more connections than a host that comes back with all of its own.
TEST_F(Flood, FromEverywhereTakesThePlacesOfTheOldest) {
  for (std::uint8_t from = 2; from < 130; ++from) say_nothing(from, 1);
  auto first = connect_to(port());
  auto second = connect_to(port());
  for (std::uint8_t from = 130; from < 200; ++from) say_nothing(from, 1);
  for (auto* each : {&first, &second}) {
    auto stream = TlsStream::handshake(std::move(*each), dialling(port()).credentials, true, soon());
    ASSERT_TRUE(stream) << stream.error().message;
    EXPECT_TRUE(ask(*stream, hello()));
  }
}

TEST_F(Flood, FromAHostsOwnAddressDoesNotKeepItOut) {
  say_nothing(1);
  expect_still_listening();
}

TEST_F(Hostile, AnUnfinishedGreetingDoesNotKeepTheListenerFromItsEnd) {
  patience_.opening = Milliseconds(300);
  listen();
  const auto silent = connect_to(port());
  auto authenticated = connect();
  stop_listening();
}

TEST_F(Hostile, AFirstFrameOfAnySizeIsRefusedBeforeMemoryIsTaken) {
  listen();
  for (const auto& bytes :
       {lengths(0, UINT32_MAX), lengths(UINT32_MAX, 0), lengths(65, 0), lengths(0, 65'537)}) {
    auto stream = connect();
    largest_block = 0;
    ASSERT_TRUE(stream.write_all(bytes, soon()));
    wait_for_hang_up(stream);
    EXPECT_LT(largest_block, kMebibyte);
  }
  expect_still_listening();
}

TEST_F(Hostile, AFirstFrameThatIsNoOpeningIsRefused) {
  listen();
  ByteBuffer random_payload;
  append_frame(random_payload, 0, false, patterned_bytes(1'000));
  ByteBuffer other_lane;
  append_frame(other_lane, 1, false, as_byte_view(hello().SerializeAsString()));
  ByteBuffer nothing;
  append_frame(nothing, 0, false, {});
  for (const auto& bytes : {random_payload, other_lane, nothing}) {
    auto stream = connect();
    ASSERT_TRUE(stream.write_all(bytes, soon()));
    wait_for_hang_up(stream);
  }
  expect_still_listening();
}

TEST_F(Hostile, AFrameOfASessionIsRefusedBeforeMemoryIsTaken) {
  listen();
  for (const auto& bytes :
       {lengths(0, UINT32_MAX), lengths(UINT32_MAX, 0), lengths(65, 0), lengths(0, 65'537)}) {
    auto stream = begin_session();
    expect_session_refused(stream, bytes, "longer than allowed");
    EXPECT_LT(largest_block, kMebibyte);
    heard_there_ = Recorder();
  }
}

TEST_F(Hostile, AMessageThatNeverEndsIsRefused) {
  listen();
  auto stream = begin_session();
  ByteBuffer frames;
  for (std::size_t sent = 0; sent <= longest_message(Lane::control); sent += kLongestPayload) {
    append_frame(frames, 1, true, ByteBuffer(kLongestPayload));
  }
  expect_session_refused(stream, frames, "lane 1");
}

TEST_F(Hostile, MoreThanWasGrantedIsRefused) {
  listen();
  auto stream = connect();
  ASSERT_TRUE(write_opening(stream, hello(), soon()));
  ASSERT_TRUE(read_answer(stream, soon()));
  there_ = accepted();
  auto events = heard_there_.events();
  events.dealt_with_later = true;
  there_->start(std::move(events));
  ByteBuffer frames;
  // Empty messages: each still counts for something.
  for (std::size_t cost = 0; cost <= window(Lane::ram_return); cost += kFrameCost)
    append_frame(frames, 3, false, {});
  expect_session_refused(stream, frames, "more on lane 3 than it was granted");
}

TEST_F(Hostile, UnknownLanesAndSenselessGrantsAreRefused) {
  listen();
  wire::Grant grant;
  grant.set_lane(9);
  ByteBuffer senseless;
  append_frame(senseless, 0, false, as_byte_view(grant.SerializeAsString()));
  ByteBuffer unknown;
  append_frame(unknown, 4, false, bytes_of("?"));
  ByteBuffer unreadable = lengths(3, 0);
  for (int i = 0; i < 3; ++i) unreadable.push_back(std::byte{0xff});
  for (const auto& bytes : {senseless, unknown, unreadable}) {
    auto stream = begin_session();
    expect_session_refused(stream, bytes, "");
    heard_there_ = Recorder();
  }
}

TEST_F(Hostile, AProofIsGoodOnceAndForItsOwnerOnly) {
  auto there = endpoint("hostb");
  there.peers["hosta"] = {};
  there.peers["hostc"] = {};
  listen(there);
  const auto session = begin_session();
  auto thief = connect(endpoint("hostc"));
  EXPECT_FALSE(ask(thief, join(thief)));
  auto owner = connect();
  const auto good = join(owner);
  EXPECT_TRUE(ask(owner, good));
  auto again = connect();
  const auto answer = ask(again, good);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::not_allowed);
}

TEST_F(Hostile, ABulkChunkOfAnySizeIsRefusedBeforeMemoryIsTaken) {
  listen();
  const auto session = begin_session();
  auto stream = connect();
  ASSERT_TRUE(ask(stream, join(stream)));
  largest_block = 0;
  ByteBuffer head(8);
  const auto size = lengths(UINT32_MAX, 0);
  head.insert(head.end(), size.begin(), size.begin() + 4);
  ASSERT_TRUE(stream.write_all(head, soon()));
  const auto read = there_->bulk_receiver().read();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::refused);
  EXPECT_LT(largest_block, kMebibyte);
}

// The first chunk never comes; those after it have to wait for it on the wire, not in memory.
TEST_F(Hostile, BulkChunksFarAheadAreNotTakenIn) {
  listen();
  const auto session = begin_session();
  auto stream = connect();
  ASSERT_TRUE(ask(stream, join(stream)));
  // More than the kernel's buffers hold.
  constexpr std::size_t kChunks = 64 * kMebibyte / kLongestBulkChunk;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  Result<> written;
  for (std::size_t number = 1; written && number <= kChunks; ++number) {
    ByteBuffer chunk(12 + kLongestBulkChunk);
    chunk[6] = static_cast<std::byte>(number >> 8);
    chunk[7] = static_cast<std::byte>(number);
    chunk[9] = static_cast<std::byte>(kLongestBulkChunk >> 16);
    written = stream.write_all(chunk, deadline);
  }
  EXPECT_FALSE(written) << "64 MiB were taken in";
}

TEST_F(Hostile, NoMoreBulkConnectionsAreGrantedThanThereMayBe) {
  listen();
  auto stream = connect();
  auto greedy = hello();
  greedy.mutable_hello()->set_bulk_connections(4'000'000'000);
  const auto answer = ask(stream, greedy);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->welcome().bulk_connections(), static_cast<std::uint32_t>(bulk_connections_));
}

TEST_F(Hostile, ABulkStreamWithALieAboutItsLengthIsNotTakenForWhole) {
  bulk_connections_ = 1;
  listen();
  const auto session = begin_session();
  auto stream = connect();
  ASSERT_TRUE(ask(stream, join(stream)));
  ByteBuffer end(12 + 8);
  end.back() = std::byte{5};
  ASSERT_TRUE(stream.write_all(end, soon()));
  EXPECT_FALSE(there_->bulk_receiver().read());
}

// There is always one more message to take in; an answer has to go out all the same.
TEST_F(Hostile, APeerThatNeverPausesDoesNotKeepASessionFromSpeaking) {
  listen();
  auto stream = connect();
  ASSERT_TRUE(write_opening(stream, hello(), soon()));
  ASSERT_TRUE(read_answer(stream, soon()));
  there_ = accepted();
  ByteBuffer message;
  append_frame(message, 1, false, bytes_of("and another thing"));
  constexpr int kMost = 10'000;
  int count = 0;
  std::promise<bool> answered;
  // The only user of the stream once the session has started.
  const auto on_message = [&](Lane, const ByteBuffer&) {
    if (count > kMost) return;
    if (count++ == 0) there_->send(Lane::control, bytes_of("answer"));
    std::array<std::byte, 100> bytes{};
    const bool heard = stream.read_some(bytes).value_or(0) > 0;
    if (heard || count > kMost) {
      count = kMost + 1;
      return answered.set_value(heard);
    }
    (void)stream.write_all(message, soon());
  };
  // So many ahead that the session does not catch up with them.
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(stream.write_all(message, soon()));
  there_->start({on_message, [](const Error&) {}});
  EXPECT_TRUE(answered.get_future().get());
  there_.reset();
}

}  // namespace
}  // namespace vmigrate::peer
