#include "hypervisor/gate.hpp"

#include <gmock/gmock.h>
#include <libvirt/libvirt.h>

#include "hypervisor/source_relay.hpp"
#include "hypervisor/xdr.hpp"

namespace vmigrate::hypervisor {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::uint32_t kGoodFlags = VIR_MIGRATE_LIVE | VIR_MIGRATE_PAUSED | VIR_MIGRATE_UNSAFE |
                                     VIR_MIGRATE_PERSIST_DEST | VIR_MIGRATE_UNDEFINE_SOURCE;
const std::string kUri = "unix:///run/vmigrate/m/ram.sock";
const std::string kUuid = "6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01";
const std::string kOtherUuid = "11111111-3b5c-4a29-9a4e-0e7a3d3f1a01";
const std::string kEmulator = "/usr/bin/qemu-system-x86_64";

std::string definition(const std::string& uuid = kUuid, const std::string& name = "web1",
                       const std::string& emulator = kEmulator) {
  return "<domain type='kvm'><name>" + name + "</name><uuid>" + uuid + "</uuid><devices><emulator>" +
         emulator + "</emulator></devices></domain>";
}

std::string cookie(const std::string& uuid = kUuid, const std::string& inner = "") {
  return "<qemu-migration><name>web1</name><uuid>" + uuid + "</uuid>" + inner + "</qemu-migration>" + '\0';
}

struct Call {
  std::vector<std::pair<std::string, std::string>> parameters{{VIR_MIGRATE_PARAM_URI, kUri},
                                                              {VIR_MIGRATE_PARAM_DEST_NAME, "web1"},
                                                              {VIR_MIGRATE_PARAM_DEST_XML, definition()}};
  std::string cookie_in = cookie();
  std::uint32_t flags = kGoodFlags;
  std::uint32_t serial = 5;

  ByteBuffer arguments(bool is_finish, bool cancelled) const {
    XdrWriter writer;
    writer.number(static_cast<std::uint32_t>(parameters.size()));
    for (const auto& [name, value] : parameters) writer.text(name).number(7).text(value);
    writer.text(cookie_in).number(flags);
    if (is_finish) writer.number(cancelled ? 1 : 0);
    return writer.bytes();
  }
  ByteBuffer prepare() const {
    return make_message({.procedure = procedure::prepare, .serial = serial}, arguments(false, false));
  }
  FinishCall finish(bool cancelled = false) const {
    return {cancelled,
            make_message({.procedure = procedure::finish, .serial = serial}, arguments(true, cancelled))};
  }
  Call with(const std::string& name, const std::string& value) const {
    Call changed = *this;
    std::erase_if(changed.parameters, [&](const auto& parameter) { return parameter.first == name; });
    changed.parameters.emplace_back(name, value);
    return changed;
  }
};

GateScope scope() {
  return {VmId::parse(kUuid).value(), "web1", kEmulator, kUri};
}

ByteBuffer plain_call(std::int32_t procedure, std::uint32_t serial = 1) {
  return make_message({.procedure = procedure, .serial = serial}, {});
}

ByteBuffer reply(std::int32_t procedure, std::uint32_t serial, ByteView payload = {}) {
  return make_message({.procedure = procedure, .type = RpcType::reply, .serial = serial}, payload);
}

class DestinationGateTest : public testing::Test {
 protected:
  std::string refusal(const Call& call) {
    const auto admitted = DestinationGate(scope()).admit(call.prepare());
    return admitted ? "" : admitted.error().message;
  }
  void prepare() {
    ASSERT_TRUE(gate_.admit(Call{}.prepare()));
    ASSERT_EQ(gate_.judge(reply(procedure::prepare, 5)), DestinationGate::Answer::prepared);
  }
  DestinationGate gate_{scope()};
};

TEST_F(DestinationGateTest, LetsAMigrationThrough) {
  EXPECT_TRUE(gate_.admit(plain_call(procedure::authentication_list, 1)));
  EXPECT_EQ(gate_.judge(reply(procedure::authentication_list, 1)), DestinationGate::Answer::pass);
  EXPECT_TRUE(gate_.admit(plain_call(procedure::open, 2)));
  EXPECT_TRUE(gate_.admit(plain_call(procedure::supports_feature, 3)));
  prepare();
  Call finish;
  finish.serial = 6;
  EXPECT_TRUE(gate_.admit_finish(finish.finish()));
  EXPECT_EQ(gate_.judge(reply(procedure::finish, 6)), DestinationGate::Answer::finished);
}

TEST_F(DestinationGateTest, RefusesEveryOtherProcedure) {
  for (std::int32_t procedure = -1; procedure < 500; ++procedure) {
    const bool allowed = procedure == 1 || procedure == 60 || procedure == 66 || procedure == 303;
    EXPECT_EQ(DestinationGate(scope()).admit(plain_call(procedure)).has_value(), allowed && procedure != 303)
        << procedure;
  }
}

TEST_F(DestinationGateTest, RefusesEverythingThatIsNoCall) {
  EXPECT_FALSE(gate_.admit(make_message({.program = kKeepaliveProgram, .procedure = 1}, {})));
  EXPECT_FALSE(gate_.admit(make_message({.program = 0x20008087, .procedure = procedure::open}, {})));
  EXPECT_FALSE(gate_.admit(make_message({.version = 2, .procedure = procedure::open}, {})));
  EXPECT_FALSE(gate_.admit(reply(procedure::open, 1)));
  EXPECT_FALSE(gate_.admit(ByteBuffer(7)));
  EXPECT_FALSE(gate_.admit({}));
}

TEST_F(DestinationGateTest, NeverLetsLibvirtStartTheVcpus) {
  Call call;
  call.flags &= ~static_cast<std::uint32_t>(VIR_MIGRATE_PAUSED);
  EXPECT_THAT(refusal(call), HasSubstr("flags"));
}

TEST_F(DestinationGateTest, RefusesOtherKindsOfMigration) {
  for (const std::uint32_t flag : {VIR_MIGRATE_PEER2PEER, VIR_MIGRATE_TUNNELLED, VIR_MIGRATE_NON_SHARED_DISK,
                                   VIR_MIGRATE_NON_SHARED_INC, VIR_MIGRATE_OFFLINE, VIR_MIGRATE_POSTCOPY,
                                   VIR_MIGRATE_PARALLEL, VIR_MIGRATE_TLS, VIR_MIGRATE_POSTCOPY_RESUME}) {
    Call call;
    call.flags |= flag;
    EXPECT_THAT(refusal(call), HasSubstr("flags")) << flag;
  }
}

TEST_F(DestinationGateTest, LetsAVmThroughThatMayBeSlowedWhereItComesFrom) {
  Call call;
  call.flags |= VIR_MIGRATE_AUTO_CONVERGE;
  EXPECT_EQ(refusal(call), "");
}

// libvirt would put the pieces together, and start or define something else than was looked at.
TEST_F(DestinationGateTest, RefusesTextsInPieces) {
  for (const std::string rest :
       {"<!-- -->-other", "<?x?>-other", "<![CDATA[-other]]>", "<x>-other</x>", "&#x2d;<!---->"}) {
    EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, definition(kUuid, "web1", kEmulator + rest))),
                HasSubstr("starts"))
        << rest;
    EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, definition(kUuid, "web1" + rest))),
                HasSubstr("another name"))
        << rest;
    EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, definition(kUuid + rest))),
                HasSubstr("another VM"))
        << rest;
  }
  Call call;
  call.cookie_in = cookie(kUuid + "<!-- -->");
  EXPECT_THAT(refusal(call), HasSubstr("another VM"));
}

TEST_F(DestinationGateTest, RefusesAnotherVm) {
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, definition(kOtherUuid))),
              HasSubstr("another VM"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, definition(kUuid, "db1"))),
              HasSubstr("another name"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_PERSIST_XML, definition(kOtherUuid))),
              HasSubstr("another VM"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_NAME, "db1")), HasSubstr("db1"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, definition(kUuid, "web1", "/bin/sh"))),
              HasSubstr("/bin/sh"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DEST_XML, "nonsense")), HasSubstr("no XML"));
  Call stranger;
  stranger.cookie_in = cookie(kOtherUuid);
  EXPECT_THAT(refusal(stranger), HasSubstr("cookie of another VM"));
}

TEST_F(DestinationGateTest, RefusesToListenElsewhere) {
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_URI, "tcp:0.0.0.0:49152")), HasSubstr("tcp:0.0.0.0"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_URI, kUri + "2")), HasSubstr("migration URI"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_LISTEN_ADDRESS, "0.0.0.0")), HasSubstr("listen_address"));
  EXPECT_THAT(refusal(Call{}.with(VIR_MIGRATE_PARAM_DISKS_URI, "tcp://x")), HasSubstr("disks_uri"));
  Call without;
  without.parameters.erase(without.parameters.begin());
  EXPECT_THAT(refusal(without), HasSubstr("without a migration URI"));
}

TEST_F(DestinationGateTest, AParameterGivenTwiceHidesNothing) {
  Call call;
  call.parameters.emplace_back(VIR_MIGRATE_PARAM_URI, "tcp:0.0.0.0:1");
  EXPECT_THAT(refusal(call), HasSubstr("twice"));
}

TEST_F(DestinationGateTest, OnePrepareOnly) {
  ASSERT_TRUE(gate_.admit(Call{}.prepare()));
  EXPECT_THAT(gate_.admit(Call{}.prepare()).error().message, HasSubstr("second Prepare"));
}

TEST_F(DestinationGateTest, FinishOnlyByItsOwnWayAndOnlyAfterPrepare) {
  EXPECT_FALSE(gate_.admit_finish(Call{}.finish()));
  prepare();
  EXPECT_FALSE(gate_.admit(Call{}.finish().message));
  EXPECT_TRUE(gate_.admit_finish(Call{}.finish()));
  EXPECT_THAT(gate_.admit_finish(Call{}.finish()).error().message, HasSubstr("second Finish"));
}

TEST_F(DestinationGateTest, FinishMayNotDropPaused) {
  prepare();
  Call call;
  call.flags &= ~static_cast<std::uint32_t>(VIR_MIGRATE_PAUSED);
  EXPECT_FALSE(gate_.admit_finish(call.finish()));
}

TEST_F(DestinationGateTest, FinishMayNotBringAnotherDefinition) {
  prepare();
  Call call;
  call.cookie_in = cookie(kUuid, definition(kOtherUuid));
  EXPECT_THAT(gate_.admit_finish(call.finish()).error().message, HasSubstr("another VM"));
}

TEST_F(DestinationGateTest, TheHandoversWordIsWhatFinishSays) {
  prepare();
  FinishCall call = Call{}.finish(false);
  call.cancelled = true;
  EXPECT_TRUE(parse_finish(payload_of(gate_.admit_finish(call).value()))->cancelled);
}

TEST_F(DestinationGateTest, KeepaliveAndEventsStayHere) {
  const RpcHeader ping{
      .program = kKeepaliveProgram, .procedure = procedure::keepalive_ping, .type = RpcType::message};
  EXPECT_EQ(gate_.judge(make_message(ping, {})), DestinationGate::Answer::ping);
  EXPECT_EQ(gate_.judge(make_pong()), DestinationGate::Answer::drop);
  EXPECT_EQ(gate_.judge(make_message({.procedure = 318, .type = RpcType::message}, {})),
            DestinationGate::Answer::drop);
  EXPECT_EQ(gate_.judge(reply(procedure::open, 99)), DestinationGate::Answer::drop);
  EXPECT_EQ(gate_.judge(ByteBuffer(3)), DestinationGate::Answer::drop);
}

TEST_F(DestinationGateTest, OpenCallsAreBounded) {
  int admitted = 0;
  for (std::uint32_t serial = 1; serial < 1000; ++serial) {
    if (gate_.admit(plain_call(procedure::supports_feature, serial))) ++admitted;
  }
  EXPECT_LT(admitted, 100);
}

class SourceGateTest : public testing::Test {
 protected:
  SourceGate::Way judge(ByteView message) { return gate_.judge(message).value(); }
  SourceGate gate_{scope()};
};

TEST_F(SourceGateTest, TakesFinishOutOfTheFlow) {
  EXPECT_EQ(judge(plain_call(procedure::open)), SourceGate::Way::to_peer);
  EXPECT_EQ(judge(Call{}.prepare()), SourceGate::Way::to_peer);
  EXPECT_EQ(judge(Call{}.finish().message), SourceGate::Way::finish);
  EXPECT_EQ(judge(plain_call(procedure::close)), SourceGate::Way::close);
  EXPECT_EQ(judge(make_pong()), SourceGate::Way::drop);
}

TEST_F(SourceGateTest, ThePeerCannotAnswerFinishItself) {
  judge(Call{}.finish().message);
  EXPECT_FALSE(gate_.admit(reply(procedure::finish, 5)));
}

TEST_F(SourceGateTest, RefusesAnswersThatNobodyAskedFor) {
  EXPECT_FALSE(gate_.admit(reply(procedure::open, 1)));
  judge(plain_call(procedure::open, 1));
  EXPECT_FALSE(gate_.admit(reply(procedure::prepare, 1)));
  EXPECT_FALSE(
      gate_.admit(make_message({.procedure = procedure::open, .type = RpcType::message, .serial = 1}, {})));
  EXPECT_FALSE(gate_.admit(ByteBuffer(64)));
  EXPECT_TRUE(gate_.admit(reply(procedure::open, 1)));
  EXPECT_FALSE(gate_.admit(reply(procedure::open, 1)));
}

TEST_F(SourceGateTest, MemoryIsNotSentToWhereThePeerSays) {
  judge(Call{}.prepare());
  const auto elsewhere = XdrWriter().text("").number(1).text("tcp:192.0.2.1:49152").bytes();
  EXPECT_THAT(gate_.admit(reply(procedure::prepare, 5, elsewhere)).error().message, HasSubstr("192.0.2.1"));
  EXPECT_FALSE(gate_.admit(reply(procedure::prepare, 5, XdrWriter().number(0xffffffff).bytes())));
  EXPECT_TRUE(gate_.admit(reply(procedure::prepare, 5, XdrWriter().text("").number(0).bytes())));
}

TEST_F(SourceGateTest, FinishAnswerKeepsWhatLibvirtSaid) {
  judge(Call{}.finish().message);
  ByteBuffer real = make_finish_answer({"web1", kUuid}, 77);
  const auto answer = gate_.finish_answer({true, real, ""}).value();
  set_serial(real, 5);
  EXPECT_EQ(answer, real);
  EXPECT_FALSE(gate_.finish_answer({true, real, ""})) << "answered twice";
}

TEST_F(SourceGateTest, FinishAnswerThatCannotBeReadIsStillTheSuccessThatItStandsFor) {
  for (const ByteBuffer& message :
       {ByteBuffer{}, ByteBuffer(100), reply(procedure::finish, 5, as_byte_view("abcd")),
        make_finish_answer({"web1", kOtherUuid}, 5), make_error(procedure::finish, 5, "x")}) {
    SourceGate gate(scope());
    ASSERT_TRUE(gate.judge(Call{}.finish().message));
    const auto answer = gate.finish_answer({true, message, ""}).value();
    EXPECT_EQ(parse_header(answer)->status, RpcStatus::ok);
    EXPECT_EQ(parse_header(answer)->serial, 5U);
    EXPECT_EQ(parse_finish_answer(payload_of(answer))->uuid, kUuid);
  }
}

TEST_F(SourceGateTest, FailedFinishIsAnErrorForItsSerial) {
  judge(Call{}.finish().message);
  const auto answer =
      gate_.finish_answer({false, make_finish_answer({"web1", kUuid}, 5), "no memory"}).value();
  EXPECT_EQ(parse_header(answer)->status, RpcStatus::error);
  EXPECT_EQ(parse_error(payload_of(answer)), "no memory");
}

TEST_F(SourceGateTest, ClosedGateLetsOnlyFinishBy) {
  judge(plain_call(procedure::open, 1));
  gate_.close_gate();
  EXPECT_EQ(judge(Call{}.prepare()), SourceGate::Way::refuse);
  EXPECT_EQ(judge(Call{}.finish().message), SourceGate::Way::finish);
  // The open call is answered, Finish is not.
  const auto answers = gate_.refuse_open_calls("cancelled");
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(parse_header(answers[0])->serial, 1U);
  EXPECT_THAT(gate_.refuse_open_calls("cancelled"), IsEmpty());
}

TEST(SourceRelay, ConfirmSaysWhatTheHandoverSays) {
  const auto confirm = [](bool cancelled) {
    return make_message({.procedure = procedure::confirm},
                        XdrWriter().number(0).number(cancelled ? 1 : 0).bytes());
  };
  const auto passed = [&](Verdict verdict, bool cancelled) -> std::optional<bool> {
    ByteBuffer message = confirm(cancelled);
    if (!agree(message, verdict)) return std::nullopt;
    return message == confirm(true);
  };
  for (const bool cancelled : {false, true}) {
    EXPECT_EQ(passed(Verdict::loaded, cancelled), false);
    EXPECT_EQ(passed(Verdict::failed, cancelled), true);
    EXPECT_EQ(passed(Verdict::none, cancelled), true);
    EXPECT_EQ(passed(Verdict::pending, cancelled), std::nullopt);
  }
}

TEST(SourceRelay, LeavesEverythingElseAlone) {
  ByteBuffer message = plain_call(procedure::open);
  const ByteBuffer before = message;
  EXPECT_TRUE(agree(message, Verdict::pending));
  EXPECT_EQ(message, before);
}

}  // namespace
}  // namespace vmigrate::hypervisor
