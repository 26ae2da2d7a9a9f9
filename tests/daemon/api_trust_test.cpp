// Who may ask for what, and how hosts come to trust each other by the control socket.
#include <thread>

#include <gmock/gmock.h>

#include "daemon_fixture.hpp"
#include "peer/listener.hpp"
#include "reports.hpp"

namespace vmigrate::daemon {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

class ApiTrustTest : public DaemonTest {
 protected:
  static inline const control::Caller kRoot{.uid = 0, .gid = 0, .pid = 1, .user = "root", .groups = {0}};

  control::Response as_root(const control::Request& request) { return ask_as(request, kRoot)->last(); }
  static control::Request pair_request(const std::string& host, const std::string& code = {}) {
    control::Request request;
    request.mutable_pair()->set_host(host);
    request.mutable_pair()->set_code(code);
    return request;
  }
  static control::Request remove_request(const std::string& host) {
    control::Request request;
    request.mutable_remove_peer()->set_host(host);
    return request;
  }
  control::PeerList peers() {
    control::Request request;
    request.mutable_peers();
    return answer(request).peers();
  }
  void add_peer(const std::string& name) {
    ASSERT_TRUE(paired_->add({name, {"10.0.0.9", 16510}, {std::string(64, name.back())}, 1, "root (uid 0)"}));
  }
};

// --- Who may do what

TEST_F(ApiTrustTest, WhoIsNotAllowedToStartStartsNothingAndIsToldTheRule) {
  configuration_.allow.allow(trust::Verb::start, {"bob"});
  const auto response = answer(start_request());
  EXPECT_EQ(response.error().code(), 5U);
  EXPECT_THAT(response.error().message(), HasSubstr("'start' in [allow]"));
  EXPECT_THAT(board_.active(), SizeIs(0));
  EXPECT_EQ(as_root(start_request()).migration().vm(), "web1");
}

TEST_F(ApiTrustTest, EveryVerbIsAskedAboutBeforeAnythingElse) {
  for (const auto verb : {trust::Verb::watch, trust::Verb::check, trust::Verb::start, trust::Verb::cancel,
                          trust::Verb::resolve, trust::Verb::pair})
    configuration_.allow.allow(verb, {});
  const auto* fields = control::Request::descriptor();
  for (int i = 0; i < fields->field_count(); ++i) {
    control::Request request;
    const auto* field = fields->field(i);
    request.GetReflection()->MutableMessage(&request, field);
    if (field->name() == "version") continue;  // which anybody may know
    EXPECT_EQ(answer(request).error().code(), 5U) << field->name();
  }
}

TEST_F(ApiTrustTest, PairingAndItsEndAreRootsUnlessARuleSaysOtherwise) {
  add_peer("hostc");
  EXPECT_EQ(answer(pair_request("hostd")).error().code(), 5U);
  EXPECT_EQ(answer(remove_request("hostc")).error().code(), 5U);
  EXPECT_TRUE(paired_->find("hostc"));
  configuration_.allow.allow(trust::Verb::pair, {"alice"});
  EXPECT_TRUE(answer(remove_request("hostc")).has_peers());
  EXPECT_FALSE(paired_->find("hostc"));
}

// --- Which VMs may go where

TEST_F(ApiTrustTest, AVmThatMayNotGoThereDoesNotAndACheckSaysSo) {
  configuration_.send.add({"web*", {"hostc"}});
  const auto response = answer(start_request());
  EXPECT_EQ(response.error().code(), 5U);
  EXPECT_THAT(response.error().message(),
              HasSubstr("rule 1 (vm = \"web*\") names hostc in [[send]] on hosta"));
  EXPECT_EQ(response.error().vm_state(), "web1 runs on hosta");
  control::Request check;
  check.mutable_check()->set_vm("web1");
  const auto checked = answer(check).check();
  ASSERT_THAT(checked.hosts(), SizeIs(1));
  EXPECT_FALSE(checked.hosts(0).possible());
  EXPECT_THAT(checked.hosts(0).findings(0).message(), HasSubstr("[[send]]"));
}

// --- Pairing

TEST_F(ApiTrustTest, ACodeIsShownAndTheEndIsToldWhoeverWaits) {
  const TemporaryFolder other;
  const auto theirs = *trust::PairedPeers::open(other.file("peers.toml"));
  const auto pairing =
      std::make_shared<trust::Pairing>(trust::Pairing::Self{.name = "hostc", .port = 7}, theirs);
  const auto credentials = *peer::Credentials::load(
      *trust::ensure_own_identity(other.path(), "hostc", std::chrono::system_clock::now()), theirs, pairing);
  const auto listener = peer::Listener::create({credentials, {}, ""}, "127.0.0.1", 0, [](auto) {});
  const auto invitation = *pairing->invite({"hosta", {}, ""});

  auto request = pair_request("hostc", invitation->code());
  request.mutable_pair()->set_address("127.0.0.1:" + std::to_string((*listener)->port()));
  const auto paired = as_root(request);
  ASSERT_TRUE(paired.has_pairing()) << paired.ShortDebugString();
  EXPECT_EQ(paired.pairing().peer().name(), "hostc");
  EXPECT_EQ(paired.pairing().peer().paired_by(), "root (uid 0)");
  EXPECT_EQ(theirs->find("hosta")->key, credentials_.own_key());
  ASSERT_THAT(peers().peers(), SizeIs(2));
  EXPECT_TRUE(peers().peers(0).paired());
  EXPECT_EQ(peers().peers(1).name(), "hostb");
}

TEST_F(ApiTrustTest, WhoShowsACodeAndLeavesTakesItBack) {
  std::shared_ptr<Answers> answers;
  std::thread waiting;
  auto shown = std::make_shared<Answers>();
  waiting = std::thread([&] { api().handle(pair_request("hostc"), kRoot, shown); });
  while (shown->before_the_last().empty() && !shown->has_finished()) std::this_thread::yield();
  const auto first = shown->before_the_last().front().pairing();
  EXPECT_EQ(first.code().size(), 9U);
  EXPECT_EQ(first.this_host(), "hosta");
  EXPECT_TRUE(pairing_->expects_somebody());
  shown->disconnect();
  waiting.join();
  EXPECT_FALSE(pairing_->expects_somebody());
  EXPECT_EQ(shown->last().error().code(), 6U);
}

TEST_F(ApiTrustTest, NonsenseIsRefused) {
  EXPECT_EQ(as_root(pair_request("hosta")).error().code(), 2U);
  EXPECT_EQ(as_root(pair_request("host;b")).error().code(), 2U);
  EXPECT_EQ(as_root(pair_request("")).error().code(), 2U);
  EXPECT_EQ(as_root(pair_request("hostc", "12")).error().code(), 2U);
  EXPECT_EQ(as_root(remove_request("hostx")).error().code(), 3U);
}

TEST_F(ApiTrustTest, AHostThatItsCertificateLetsInIsNotRemovedHere) {
  add_peer("hostb");
  const auto error = as_root(remove_request("hostb")).error();
  EXPECT_EQ(error.code(), 4U);
  EXPECT_THAT(error.hint(), HasSubstr("[peers.hostb]"));
  EXPECT_TRUE(paired_->find("hostb"));
  configuration_.tls.ca.clear();
  EXPECT_TRUE(as_root(remove_request("hostb")).has_peers());
}

TEST_F(ApiTrustTest, AHostThatIsOnlyConfiguredIsBadToTheDoctor) {
  configuration_.tls = {};
  const auto item = examine("host hostb");
  EXPECT_EQ(item.verdict(), control::DoctorItem::BAD);
  EXPECT_THAT(item.hint(), HasSubstr("vmigrate pair hostb"));
  EXPECT_EQ(examine("certificate").verdict(), control::DoctorItem::GOOD);
}

// --- The end of trust

TEST_F(ApiTrustTest, ARemovedPeersMigrationEndsAndTheVmRunsOn) {
  configuration_.peers.clear();
  configuration_.tls.ca.clear();
  add_peer("hostb");
  hypervisor_.script().hold(hypervisor::FakeStep::memory);
  control::Request request = start_request();
  request.mutable_start()->set_wait(true);
  const auto moving = ask(request);
  ASSERT_TRUE(hypervisor_.script().reached(hypervisor::FakeStep::memory));
  EXPECT_TRUE(as_root(remove_request("hostb")).has_peers());
  const auto ended = moving->last().migration();
  EXPECT_EQ(ended.phase(), control::FAILED);
  EXPECT_THAT(ended.error().message(), HasSubstr("hostb was removed from the hosts that hosta trusts"));
  EXPECT_EQ(*hypervisor_.state(web1_.id), hypervisor::DomainState::running);
}

}  // namespace
}  // namespace vmigrate::daemon
