// What a client of the control socket is answered about VMs and hosts.
#include "daemon/api.hpp"

#include <gmock/gmock.h>

#include "control/framing.hpp"
#include "daemon_fixture.hpp"
#include "reports.hpp"
#include "vmigrate_version.hpp"

namespace vmigrate::daemon {
namespace {

using hypervisor::FakeStep;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class ApiTest : public DaemonTest {
 protected:
  control::Error error_of(const control::Request& request) {
    const auto response = answer(request);
    EXPECT_TRUE(response.has_error()) << response.ShortDebugString();
    return response.error();
  }
  static control::Request check_request(const std::string& vm, const std::vector<std::string>& hosts = {}) {
    control::Request request;
    request.mutable_check()->set_vm(vm);
    for (const auto& host : hosts) request.mutable_check()->add_hosts(host);
    return request;
  }
  static control::Request history_request(std::uint32_t limit, const std::string& vm = {}) {
    control::Request request;
    request.mutable_history()->set_limit(limit);
    request.mutable_history()->set_vm(vm);
    return request;
  }
  static control::Request show_request(const std::string& vm_or_id) {
    control::Request request;
    request.mutable_show()->set_vm_or_id(vm_or_id);
    return request;
  }
};

TEST_F(ApiTest, SaysWhichVersionsItIsMadeOf) {
  control::Request request;
  request.mutable_version();
  EXPECT_EQ(answer(request).version().version(), kVersion);
  EXPECT_EQ(answer(request).version().hypervisor(), "libvirt 9.0.0, QEMU 7.2.22");
  version_ = fail(ErrorCode::unreachable, "libvirt does not answer");
  EXPECT_EQ(answer(request).version().hypervisor(), "libvirt does not answer");
}

TEST_F(ApiTest, ARequestThatItDoesNotKnowIsAnErrorThatPointsToTheVersion) {
  const auto error = error_of(control::Request());
  EXPECT_EQ(error.code(), 2U);
  EXPECT_THAT(error.hint(), HasSubstr("vmigrate version"));
}

// --- List

TEST_F(ApiTest, ListsEveryVmWithItsStateAndWhatMoves) {
  auto stopped = hypervisor::example_domain("db");
  stopped.state = hypervisor::DomainState::shut_off;
  hypervisor_.add(stopped);
  auto report = report_of("web1", migration::Phase::memory);
  report.vm = web1_.id;
  board_.publish(report);
  control::Request request;
  request.mutable_list();
  const auto response = answer(request);
  ASSERT_THAT(response.vms().vms(), SizeIs(2));
  for (const auto& vm : response.vms().vms()) {
    EXPECT_EQ(vm.state(), vm.name() == "web1" ? "running" : "shut off");
    EXPECT_EQ(vm.has_migration(), vm.name() == "web1");
  }
}

TEST_F(ApiTest, AVmInDoubtNeedsAttentionInTheList) {
  auto report = report_of("web1", migration::Phase::needs_attention);
  report.vm = web1_.id;
  board_.publish(report);
  control::Request request;
  request.mutable_list();
  EXPECT_EQ(answer(request).vms().vms(0).state(), "needs attention");
}

TEST_F(ApiTest, AHypervisorThatDoesNotAnswerIsTheErrorOfTheList) {
  hypervisor_.script().fail(FakeStep::list, {ErrorCode::unreachable, "libvirt is away", "start it"});
  control::Request request;
  request.mutable_list();
  const auto error = error_of(request);
  EXPECT_EQ(error.code(), 8U);
  EXPECT_EQ(error.message(), "libvirt is away");
  EXPECT_EQ(error.hint(), "start it");
}

// --- Check

TEST_F(ApiTest, ACheckAsksEveryConfiguredHostAndChangesNothing) {
  const auto report = answer(check_request("web1")).check();
  EXPECT_EQ(report.vm(), "web1");
  ASSERT_THAT(report.hosts(), SizeIs(1));
  EXPECT_EQ(report.hosts(0).host(), "hostb");
  EXPECT_TRUE(report.hosts(0).possible());
  EXPECT_EQ(report.hosts(0).memory_total(), web1_.memory.count);
  EXPECT_THAT(board_.active(), IsEmpty());
  EXPECT_EQ(*hostb_.hypervisor.state(web1_.id), hypervisor::DomainState::absent);
}

TEST_F(ApiTest, ACheckTellsEverythingThatStandsAgainstItOnBothHosts) {
  hypervisor_.set_findings({{ErrorCode::refused, "a disk is local", "share it"}}, {});
  hostb_.hypervisor.set_findings({}, {{ErrorCode::refused, "no bridge br0", "create it"}});
  const auto response = answer(check_request("web1", {"hostb"}));
  const auto& host = response.check().hosts(0);
  EXPECT_FALSE(host.possible());
  ASSERT_THAT(host.findings(), SizeIs(2));
  EXPECT_EQ(host.findings(0).code(), 4U);
  EXPECT_EQ(host.findings(0).message(), "a disk is local");
  EXPECT_EQ(host.findings(1).message(), "no bridge br0");
  EXPECT_EQ(host.findings(1).hint(), "create it");
  EXPECT_EQ(host.findings(1).vm_state(), "web1 runs on hosta");
}

TEST_F(ApiTest, AHostThatCannotBeAskedIsNotPossibleAndTheOthersAreAsked) {
  const auto response = answer(check_request("web1", {"hostc", "hostb"}));
  ASSERT_THAT(response.check().hosts(), SizeIs(2));
  EXPECT_FALSE(response.check().hosts(0).possible());
  EXPECT_EQ(response.check().hosts(0).findings(0).code(), 8U);
  EXPECT_TRUE(response.check().hosts(1).possible());
}

TEST_F(ApiTest, ACheckOfAnUnknownVmOrWithoutAnyHostIsNotFound) {
  EXPECT_EQ(error_of(check_request("web2")).code(), 3U);
  configuration_.peers.clear();
  const auto error = error_of(check_request("web1"));
  EXPECT_EQ(error.code(), 3U);
  EXPECT_EQ(error.vm_state(), "web1 runs on hosta");
  EXPECT_THAT(error.hint(), HasSubstr("vmigrate pair HOST"));
}

// --- Hosts and doctor

TEST_F(ApiTest, TellsOfEachHostWhetherItAnswers) {
  configuration_.peers["hostc"] = {.host = "10.0.0.3", .address = "10.0.0.3:16510"};
  control::Request request;
  request.mutable_hosts();
  const auto response = answer(request);
  ASSERT_THAT(response.hosts().hosts(), SizeIs(2));
  const auto& there = response.hosts().hosts(0);
  EXPECT_EQ(there.name(), "hostb");
  EXPECT_EQ(there.address(), "10.0.0.2:16510");
  EXPECT_TRUE(there.reachable());
  EXPECT_EQ(there.version(), "test");
  const auto& away = response.hosts().hosts(1);
  EXPECT_FALSE(away.reachable());
  EXPECT_EQ(away.problem(), "hostc does not answer");
}

TEST_F(ApiTest, HandsOutWhatTheDoctorFound) {
  configuration_.paths.state = folder_.file("gone");
  control::Request request;
  request.mutable_doctor();
  const auto response = answer(request);
  EXPECT_TRUE(std::any_of(response.doctor().items().begin(), response.doctor().items().end(),
                          [](const auto& item) { return item.verdict() == control::DoctorItem::BAD; }));
}

// --- Show and history

TEST_F(ApiTest, ShowsOneMigrationOrSaysThatThereIsNone) {
  const auto report = report_of("web1", migration::Phase::memory);
  board_.publish(report);
  EXPECT_EQ(answer(show_request("web1")).migration().id(), report.id.text());
  EXPECT_EQ(error_of(show_request("db")).code(), 3U);
}

TEST_F(ApiTest, TheHistoryHasAsManyAsAskedForTheNewestFirst) {
  std::vector<std::string> ids;
  for (const auto* vm : {"web1", "db", "web1"}) {
    const auto report = report_of(vm, migration::Phase::completed);
    ids.push_back(report.id.text());
    board_.publish(report);
  }
  const auto two = answer(history_request(2)).migrations();
  ASSERT_THAT(two.migrations(), SizeIs(2));
  EXPECT_EQ(two.migrations(0).id(), ids[2]);
  EXPECT_EQ(two.migrations(1).id(), ids[1]);
  EXPECT_THAT(answer(history_request(9, "db")).migrations().migrations(), SizeIs(1));
  EXPECT_THAT(answer(history_request(9, "nobody")).migrations().migrations(), IsEmpty());
}

TEST_F(ApiTest, AHistoryThatIsLongerThanAnAnswerLosesTheOldest) {
  auto report = report_of("web1", migration::Phase::failed);
  report.error = Error{ErrorCode::failed, std::string(10'000, 'x'), ""};
  for (int i = 0; i < 150; ++i) {
    report.id = MigrationId::random();
    board_.publish(report);
  }
  const auto response = answer(history_request(0));
  EXPECT_TRUE(control::to_frame(response));
  EXPECT_GT(response.migrations().migrations_size(), 90);
  EXPECT_EQ(response.migrations().migrations(0).id(), report.id.text());
}

// --- Requests beyond all measure

TEST_F(ApiTest, ANameThatNothingCanHaveIsRefusedBeforeItIsLookedUpOrKept) {
  const std::string huge(100'000, 'x');
  control::Request watch;
  watch.mutable_watch()->set_vm_or_id(huge);
  control::Request cancel;
  cancel.mutable_cancel()->set_vm_or_id(huge);
  control::Request resolve_vm;
  resolve_vm.mutable_resolve()->set_vm(huge);
  control::Request resolve_host;
  resolve_host.mutable_resolve()->set_vm("web1");
  resolve_host.mutable_resolve()->set_fenced_host(huge);
  for (const auto& request :
       {start_request(huge), start_request("web1", huge), check_request(huge), check_request("web1", {huge}),
        show_request(huge), watch, cancel, history_request(1, huge), resolve_vm, resolve_host}) {
    const auto error = error_of(request);
    EXPECT_EQ(error.code(), 2U) << request.request_case();
    EXPECT_LT(error.message().size(), 200U);
  }
  EXPECT_THAT(answer(history_request(0)).migrations().migrations(), IsEmpty());
  EXPECT_THAT(board_.active(), IsEmpty());
}

TEST_F(ApiTest, ACheckOfMoreHostsThanThereAreThreadsForIsRefused) {
  const auto error = error_of(check_request("web1", std::vector<std::string>(100'000, "h")));
  EXPECT_EQ(error.code(), 2U);
  EXPECT_THAT(error.message(), HasSubstr("at most 256"));
}

TEST_F(ApiTest, WordsThatAreNoNamesFindNothing) {
  for (const auto* words : {"", "../../etc/passwd", "web1\nweb1", "%", "' OR ''='"}) {
    EXPECT_EQ(error_of(start_request(words)).code(), 3U) << words;
    EXPECT_EQ(error_of(show_request(words)).code(), 3U) << words;
    EXPECT_EQ(error_of(check_request(words)).code(), 3U) << words;
  }
}

}  // namespace
}  // namespace vmigrate::daemon
