// By a host that is known, and has gone bad.
#include <array>

#include "attacks.hpp"

namespace vmigrate::peer {
namespace {

// --- By a host that is known, with its first frame

const std::array<Attack, 15> kGreetings{{
    {"AHeaderOfAnySize", [](Attacks& host) { host.expect_no_greeting(Attacks::lengths(UINT32_MAX, 0)); }},
    {"APayloadOfAnySize", [](Attacks& host) { host.expect_no_greeting(Attacks::lengths(0, UINT32_MAX)); }},
    {"AHeaderOneTooLong", [](Attacks& host) { host.expect_no_greeting(Attacks::lengths(65, 0)); }},
    {"APayloadOneTooLong", [](Attacks& host) { host.expect_no_greeting(Attacks::lengths(0, 65'537)); }},
    {"AHeaderThatCannotBeRead",
     [](Attacks& host) {
       host.expect_no_greeting(Attacks::joined({Attacks::lengths(3, 0), bytes_of("\xff\xff\xff")}));
     }},
    {"AnEmptyFrame", [](Attacks& host) { host.expect_no_greeting(ByteBuffer(8)); }},
    {"Noise",
     [](Attacks& host) {
       ByteBuffer frame;
       append_frame(frame, 0, false, patterned_bytes(1'000));
       host.expect_no_greeting(frame);
     }},
    {"AHelloOnAnotherLane",
     [](Attacks& host) { host.expect_no_greeting(Attacks::framed(Attacks::hello(), 1)); }},
    {"AHelloOnALaneThatIsNone",
     [](Attacks& host) { host.expect_no_greeting(Attacks::framed(Attacks::hello(), UINT32_MAX)); }},
    {"AnOpeningOfNothing", [](Attacks& host) { host.expect_no_greeting(wire::Opening()); }},
    {"AnAnswer",
     [](Attacks& host) {
       wire::OpeningAnswer answer;
       answer.mutable_joined();
       host.expect_no_greeting(Attacks::framed(answer));
     }},
    {"NoVersion", [](Attacks& host) { host.expect_no_greeting(Attacks::hello(0, 0)); }},
    {"VersionsOfTheFuture",
     [](Attacks& host) { host.expect_no_greeting(Attacks::hello(UINT32_MAX, kProtocol + 1)); }},
    {"VersionsBackToFront",
     [](Attacks& host) { host.expect_no_greeting(Attacks::hello(kProtocol, kProtocol + 5)); }},
    {"ManyAtOnce",
     [](Attacks& host) {
       for (int i = 0; i < 50; ++i)
         host.send_in_the_clear(patterned_bytes(500, static_cast<std::uint32_t>(i)));
       for (int i = 0; i < 20; ++i) host.expect_no_greeting(Attacks::lengths(0, UINT32_MAX));
     }},
}};
INSTANTIATE_TEST_SUITE_P(Greetings, Attacks, testing::ValuesIn(kGreetings), name_of);

// --- To get into a session

const std::string kUnknown(32, 'x');
const std::array<Attack, 17> kJoins{{
    {"AnUnknownSession",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join(kUnknown, host.secret());
     }},
    {"NoSession",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join("", host.secret());
     }},
    {"AnUnknownSecret",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join(host.session(), kUnknown);
     }},
    {"NoSecret",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join(host.session(), "");
     }},
    {"NoProof",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join([](wire::Join& join) { join.clear_proof(); });
     }},
    {"AProofsBeginning",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join([](wire::Join& join) { join.mutable_proof()->pop_back(); });
     }},
    {"AProofWithMore",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join([](wire::Join& join) { join.mutable_proof()->push_back('x'); });
     }},
    {"AProofOfAnotherConnection",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join([](wire::Join& join) { join.set_connection(0); });
     }},
    {"AProofThatWasMadeElsewhere",
     [](Attacks& host) {
       const auto control = host.begin_session();
       const auto elsewhere = host.connect();
       host.expect_no_replay(Attacks::join_of(elsewhere, host.session(), host.secret()));
     }},
    {"AProofOfAnotherCount",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join([](wire::Join& join) { join.set_received(1); });
     }},
    {"AJoinOnceMore",
     [](Attacks& host) {
       const auto control = host.begin_session();
       const auto joined = host.join_own_session();
       host.expect_no_replay(host.last_join());
       auto later = host.last_join();
       later.set_attempt(2);
       host.expect_no_replay(later);
     }},
    {"AnAttemptOnceMore",
     [](Attacks& host) {
       const auto control = host.begin_session();
       const auto joined = host.join_own_session();
       host.expect_no_join(host.session(), host.secret());
     }},
    {"AnAttemptThatWasOvertaken",
     [](Attacks& host) {
       const auto control = host.begin_session();
       const auto joined = host.join_own_session(7);
       host.expect_no_join(host.session(), host.secret());
     }},
    {"AConnectionThatIsNone",
     [](Attacks& host) {
       const auto control = host.begin_session();
       for (const std::uint32_t connection : {2U, UINT32_MAX}) {
         auto stream = host.connect();
         host.expect_no_replay(Attacks::join_of(stream, host.session(), host.secret(), connection));
       }
     }},
    {"ASecretOfAnotherHost",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.expect_no_join(host.session(), host.secret(), "hostc");
     }},
    {"ASecretOfAnotherSession",
     [](Attacks& host) {
       const auto first = host.begin_session();
       const auto secret = host.secret();
       const auto second = host.begin_session();
       host.expect_no_join(host.session(), secret);
     }},
    {"ASessionThatIsOver",
     [](Attacks& host) {
       const auto control = host.begin_session();
       host.end_session();
       host.expect_no_join(host.session(), host.secret());
     }},
}};
INSTANTIATE_TEST_SUITE_P(Joins, Attacks, testing::ValuesIn(kJoins), name_of);

// --- In a session of the attacker's own

ByteBuffer grant(std::uint32_t lane, std::uint64_t cost) {
  wire::Grant message;
  message.set_lane(lane);
  message.set_cost(cost);
  return Attacks::framed(message);
}

ByteBuffer frames(std::size_t count, std::uint32_t lane, bool more, std::size_t size) {
  ByteBuffer bytes;
  for (std::size_t i = 0; i < count; ++i) append_frame(bytes, lane, more, ByteBuffer(size));
  return bytes;
}

/// A sign of life with a count of frames that were never sent.
ByteBuffer received(std::uint64_t count) {
  ByteBuffer bytes;
  append_sign_of_life(bytes, count);
  return bytes;
}

const std::array<Attack, 14> kSessions{{
    {"AHeaderOfAnySize", [](Attacks& host) { host.expect_session_ends(Attacks::lengths(UINT32_MAX, 0)); }},
    {"APayloadOfAnySize", [](Attacks& host) { host.expect_session_ends(Attacks::lengths(0, UINT32_MAX)); }},
    {"APayloadOneTooLong", [](Attacks& host) { host.expect_session_ends(Attacks::lengths(0, 65'537)); }},
    {"AHeaderThatCannotBeRead",
     [](Attacks& host) {
       host.expect_session_ends(Attacks::joined({Attacks::lengths(3, 0), bytes_of("\xff\xff\xff")}));
     }},
    {"ALaneThatIsNone", [](Attacks& host) { host.expect_session_ends(frames(1, 4, false, 1)); }},
    {"TheHighestLane", [](Attacks& host) { host.expect_session_ends(frames(1, UINT32_MAX, false, 1)); }},
    {"AGrantForALaneThatIsNone", [](Attacks& host) { host.expect_session_ends(grant(9, 1)); }},
    {"AGrantForItsOwnLane", [](Attacks& host) { host.expect_session_ends(grant(0, 1)); }},
    {"MoreReceivedThanWasSent", [](Attacks& host) { host.expect_session_ends(received(1)); }},
    {"AllReceivedThatThereCanBe", [](Attacks& host) { host.expect_session_ends(received(UINT64_MAX)); }},
    {"AnotherHello", [](Attacks& host) { host.expect_session_ends(Attacks::framed(Attacks::hello())); }},
    {"AMessageWithoutEnd",
     [](Attacks& host) {
       const auto count = longest_message(Lane::control) / kLongestPayload + 1;
       host.expect_session_ends(frames(count, 1, true, kLongestPayload));
     }},
    {"MoreThanWasGranted",
     [](Attacks& host) {
       const auto count = window(Lane::ram_return) / kLongestPayload + 1;
       host.expect_session_ends(frames(count, 3, false, kLongestPayload), true);
     }},
    {"EmptyMessagesWithoutEnd",
     [](Attacks& host) {
       const auto count = window(Lane::control) / kFrameCost + 1;
       host.expect_session_ends(frames(count, 1, false, 0), true);
     }},
}};
INSTANTIATE_TEST_SUITE_P(Sessions, Attacks, testing::ValuesIn(kSessions), name_of);

// --- With memory

const std::array<Attack, 5> kMemory{{
    {"AChunkOfAnySize",
     [](Attacks& host) {
       host.expect_no_memory(Attacks::joined({ByteBuffer(8), Attacks::number(UINT32_MAX, 4)}));
     }},
    {"AChunkThatWasThereWithOtherBytes",
     [](Attacks& host) {
       host.expect_memory(
           Attacks::joined({Attacks::chunk(1, bytes_of("ory")), Attacks::chunk(1, bytes_of("any")),
                            Attacks::chunk(0, bytes_of("mem")), Attacks::chunk(0, bytes_of("not my")),
                            Attacks::end(6)}),
           "memory");
     }},
    {"AnEndOfMoreThanThereWas",
     [](Attacks& host) {
       host.expect_no_memory(Attacks::joined({Attacks::chunk(0, bytes_of("memory")), Attacks::end(7)}));
     }},
    {"AnEndOfLessThanThereWas",
     [](Attacks& host) {
       host.expect_no_memory(Attacks::joined({Attacks::chunk(0, bytes_of("memory")), Attacks::end(5)}));
     }},
    {"AGapBeforeTheEnd",
     [](Attacks& host) {
       host.expect_no_memory(Attacks::joined({Attacks::chunk(1, bytes_of("memory")), Attacks::end(6)}));
     }},
}};
INSTANTIATE_TEST_SUITE_P(Memory, Attacks, testing::ValuesIn(kMemory), name_of);

}  // namespace
}  // namespace vmigrate::peer
