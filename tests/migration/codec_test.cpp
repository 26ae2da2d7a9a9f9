#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "migration/messages.hpp"
#include "vmigrate/migration.pb.h"

namespace vmigrate::migration {
namespace {

hypervisor::DomainDescription sample_domain() {
  hypervisor::DomainDescription domain;
  domain.name = "web1";
  domain.id = VmId::random();
  domain.state = hypervisor::DomainState::paused;
  domain.persistent = true;
  domain.architecture = "x86_64";
  domain.machine = "pc-q35-7.2";
  domain.emulator = "/usr/bin/qemu-system-x86_64";
  domain.memory = {2ULL << 30};
  domain.vcpus = 4;
  domain.migratable_xml = "<domain/>";
  hypervisor::Disk disk;
  disk.target = "vda";
  disk.path = "/shared/web1.img";
  disk.coherent_cache = true;
  disk.identity = "token";
  domain.disks.push_back(disk);
  hypervisor::NetworkInterface interface;
  interface.mac = "52:54:00:12:34:56";
  interface.kind = hypervisor::AttachmentKind::bridge;
  interface.link = "br0";
  interface.vlan = 7;
  domain.interfaces.push_back(interface);
  return domain;
}

template <class Message>
Message round_trip(const Message& message) {
  const auto decoded = decode(encode(message));
  EXPECT_TRUE(decoded) << decoded.error().message;
  return std::get<Message>(*decoded);
}

TEST(Codec, AnOfferArrivesWhole) {
  const Offer offer{MigrationId::random(), true, "/run/vmigrate/x", "hosta", sample_domain()};
  const Offer back = round_trip(offer);
  EXPECT_EQ(back.migration, offer.migration);
  EXPECT_TRUE(back.check_only);
  EXPECT_EQ(back.runtime_directory, offer.runtime_directory);
  EXPECT_EQ(back.domain.id, offer.domain.id);
  EXPECT_EQ(back.domain.state, hypervisor::DomainState::paused);
  EXPECT_EQ(back.domain.memory, offer.domain.memory);
  EXPECT_EQ(back.domain.machine, "pc-q35-7.2");
  ASSERT_EQ(back.domain.disks.size(), 1U);
  EXPECT_EQ(back.domain.disks[0].identity, "token");
  EXPECT_TRUE(back.domain.disks[0].coherent_cache);
  ASSERT_EQ(back.domain.interfaces.size(), 1U);
  EXPECT_EQ(back.domain.interfaces[0].kind, hypervisor::AttachmentKind::bridge);
  EXPECT_EQ(back.domain.interfaces[0].vlan, 7);
}

TEST(Codec, HeadsOfTheAuditTrailArriveWhole) {
  const audit::Head head{7, std::string(64, 'a')};
  Offer offer{MigrationId::random(), false, "/run/vmigrate/x", "hosta", sample_domain(), head};
  EXPECT_EQ(round_trip(offer).audit_head, head);
  EXPECT_EQ(round_trip(OfferAnswer{"hostb", {}, {}, head}).audit_head, head);
  EXPECT_EQ(round_trip(AskHeads{head}).audit_head, head);
  EXPECT_EQ(round_trip(Heads{{head, head}}).heads, (std::vector<audit::Head>{head, head}));
  // From a host that keeps none, or is older than they are.
  offer.audit_head.reset();
  EXPECT_FALSE(round_trip(offer).audit_head);
}

TEST(Codec, AHeadThatIsNoneIsRefused) {
  for (const auto& hash : {std::string(), std::string(63, 'a'), std::string(65, 'a'), std::string(64, 'A'),
                           std::string(64, 'g'), std::string(100'000, '0')}) {
    EXPECT_FALSE(decode(encode(AskHeads{audit::Head{7, hash}}))) << hash.substr(0, 70);
    EXPECT_FALSE(decode(encode(Heads{{audit::Head{7, hash}}})));
  }
  EXPECT_FALSE(decode(encode(Heads{{audit::Head{0, std::string(64, 'a')}}})));
  EXPECT_FALSE(decode(encode(Heads{std::vector<audit::Head>(1001, {7, std::string(64, 'a')})})));
}

TEST(Codec, FinishAndVerdictArriveWhole) {
  Finish finish;
  finish.migration = MigrationId::random();
  finish.call = copy_of(as_byte_view("call"));
  finish.digest = {123, ByteBuffer(16, std::byte{9})};
  finish.addresses = {{"52:54:00:12:34:56", {"10.0.0.7", "fe80::1"}}};
  const Finish finish_back = round_trip(finish);
  EXPECT_EQ(finish_back.call, finish.call);
  EXPECT_EQ(finish_back.digest, finish.digest);
  EXPECT_EQ(finish_back.addresses.at(0).addresses, finish.addresses[0].addresses);

  Verdict verdict;
  verdict.migration = finish.migration;
  verdict.outcome = handover::Outcome::running;
  verdict.answer = copy_of(as_byte_view("answer"));
  verdict.arrival_microseconds = 4;
  verdict.load_microseconds = 5;
  verdict.start_microseconds = 6;
  verdict.announcements = {{"52:54:00:12:34:56", 2, {"10.0.0.7"}, "no bridge"}};
  const Verdict verdict_back = round_trip(verdict);
  EXPECT_EQ(verdict_back.outcome, handover::Outcome::running);
  EXPECT_EQ(verdict_back.answer, verdict.answer);
  EXPECT_EQ(verdict_back.arrival_microseconds, 4U);
  EXPECT_EQ(verdict_back.load_microseconds, 5U);
  EXPECT_EQ(verdict_back.start_microseconds, 6U);
  EXPECT_EQ(verdict_back.announcements.at(0).problem, "no bridge");
}

ByteBuffer serialised(const wire::ControlMessage& message) {
  return copy_of(as_byte_view(message.SerializeAsString()));
}

TEST(Codec, WhatIsTakenArrives) {
  EXPECT_EQ(round_trip(Taken{1234567890123}).stream_bytes, 1234567890123U);
}

TEST(Codec, AVerdictThatSaysNothingIsRefused) {
  wire::ControlMessage message;
  message.mutable_verdict()->set_migration_id(MigrationId::random().text());
  EXPECT_FALSE(decode(serialised(message)));
  message.mutable_verdict()->set_outcome(static_cast<wire::Outcome>(99));
  EXPECT_FALSE(decode(serialised(message)));
  message.mutable_verdict()->set_outcome(wire::REFUSED);
  EXPECT_TRUE(decode(serialised(message)));
  message.mutable_verdict()->set_migration_id("../../x");
  EXPECT_FALSE(decode(serialised(message)));
}

TEST(Codec, AFinishWithoutAWholeChecksumIsRefused) {
  wire::ControlMessage message;
  message.mutable_finish()->set_migration_id(MigrationId::random().text());
  message.mutable_finish()->set_stream_checksum("short");
  EXPECT_FALSE(decode(serialised(message)));
}

TEST(Codec, AnOfferOfMoreThanAVmCanHaveIsRefused) {
  const Offer offer{MigrationId::random(), false, "/run/vmigrate/x", "hosta", sample_domain()};
  const auto bytes = encode(offer);
  wire::ControlMessage message;
  ASSERT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
  for (int i = 0; i < 300; ++i) message.mutable_offer()->mutable_domain()->add_disks();
  EXPECT_FALSE(decode(serialised(message)));
}

TEST(Codec, NothingAndUnknownMessagesAreRefused) {
  EXPECT_FALSE(decode({}));
  EXPECT_FALSE(decode(as_byte_view("\xff\xff\xff\xff")));
  EXPECT_FALSE(decode(as_byte_view(std::string_view("\xfa\x3f\x01x", 4))));
}

RC_GTEST_PROP(Codec, NoiseIsRefusedNotFatal, (const std::string& noise)) {
  (void)decode(as_byte_view(noise));
}

// A refusal whose reason could not be read would keep the VM stopped at the source for good.
TEST(Codec, WordsInAnotherEncodingDoNotMakeAMessageUnreadable) {
  const std::string words = "cannot open /srv/gr\xfc\xdf.qcow2";
  const std::string readable = "cannot open /srv/gr??.qcow2";
  Verdict verdict;
  verdict.migration = MigrationId::random();
  verdict.outcome = handover::Outcome::refused;
  verdict.reason = words;
  verdict.announcements.push_back({"52:54:00:12:34:56", 0, {}, words});
  EXPECT_EQ(round_trip(verdict).reason, readable);
  EXPECT_EQ(round_trip(verdict).announcements[0].problem, readable);
  EXPECT_EQ(round_trip(Abort{words}).reason, readable);
  const auto findings = round_trip(OfferAnswer{"hostb", {{ErrorCode::refused, words, words}}, {}}).findings;
  EXPECT_EQ(findings[0].what, readable);
  EXPECT_EQ(findings[0].hint, readable);
}

}  // namespace
}  // namespace vmigrate::migration
