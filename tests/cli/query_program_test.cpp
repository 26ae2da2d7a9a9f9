#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrations.hpp"
#include "program.hpp"

namespace vmigrate::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

class QueryTest : public ProgramTest {};

control::Response check_response(const std::vector<std::pair<bool, std::uint32_t>>& hosts) {
  control::Response response;
  response.mutable_check()->set_vm("web1");
  for (const auto& [possible, code] : hosts) {
    auto* host = response.mutable_check()->add_hosts();
    host->set_host("hostb");
    host->set_possible(possible);
    if (!possible) {
      host->add_findings()->set_code(code);
      host->mutable_findings(0)->set_message("there is no bridge br0");
    }
  }
  return response;
}

TEST_F(QueryTest, ACheckThatRefusesExitsWithItsReason) {
  control::Request request;
  const auto ended = run_answered({"check", "web1", "hostb"}, check_response({{false, 4}}), &request);
  EXPECT_EQ(ended.exit_code, 4);
  EXPECT_EQ(ended.output, "web1 → hostb: not possible\n  there is no bridge br0\n");
  EXPECT_THAT(request.check().hosts(), ElementsAre("hostb"));
}

TEST_F(QueryTest, ACheckOfAnUnknownHostExitsWithThat) {
  EXPECT_EQ(run_answered({"check", "web1", "nowhere"}, check_response({{false, 3}})).exit_code, 3);
}

TEST_F(QueryTest, ACheckWithoutHostsIsContentWithOne) {
  EXPECT_EQ(run_answered({"check", "web1"}, check_response({{false, 4}, {true, 0}})).exit_code, 0);
}

TEST_F(QueryTest, ACheckOfNamedHostsWantsThemAll) {
  EXPECT_EQ(run_answered({"check", "web1", "b", "c"}, check_response({{false, 8}, {true, 0}})).exit_code, 4);
}

TEST_F(QueryTest, StartWithCheckChangesNothing) {
  control::Request request;
  const auto ended =
      run_answered({"start", "web1", "hostb", "--check"}, check_response({{true, 0}}), &request);
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_TRUE(request.has_check());
  EXPECT_EQ(ended.output, "web1 → hostb: possible\n");
}

TEST_F(QueryTest, DetachedStartPrintsTheIdForScripts) {
  control::Request request;
  const auto ended = run_answered({"move", "web1", "hostb", "--detach"},
                                  response_with(migration_in(control::CHECK)), &request);
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_FALSE(request.start().wait());
  EXPECT_EQ(ended.output, "3f2a91c0-1111-4222-8333-444455556666\n");
  EXPECT_THAT(ended.errors, HasSubstr("vmigrate watch web1"));
}

TEST_F(QueryTest, CancelIsDoneWhenTheVmRunsOn) {
  control::Request request;
  const auto ended = run_answered({"cancel", "web1"}, response_with(failed(control::CANCELLED, 6)), &request);
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_EQ(request.cancel().vm_or_id(), "web1");
  EXPECT_EQ(ended.output, "web1 runs on hosta; its migration to hostb was cancelled\n");
}

TEST_F(QueryTest, CancelSaysWhenItIsTooLate) {
  const auto ended = run_answered({"cancel", "web1"}, response_with(completed()));
  EXPECT_EQ(ended.exit_code, 4);
  EXPECT_THAT(ended.errors,
              HasSubstr("too late: the migration of web1 has completed\n  now: web1 runs on hostb\n"));
}

TEST_F(QueryTest, CancelThatLeavesItInDoubtSaysSo) {
  EXPECT_EQ(run_answered({"cancel", "web1"}, response_with(failed(control::NEEDS_ATTENTION, 9))).exit_code,
            9);
}

TEST_F(QueryTest, ListsAreTablesDocumentsOrLines) {
  control::Response response;
  for (const char* name : {"web1", "db"}) {
    response.mutable_vms()->add_vms()->set_name(name);
  }
  EXPECT_THAT(run_answered({"list"}, response).output, StartsWith("NAME  STATE  MIGRATION\nweb1"));
  kill_daemon();
  EXPECT_THAT(run_answered({"list", "-o", "json"}, response).output, StartsWith("{\n  \"vms\": [\n"));
  kill_daemon();
  EXPECT_EQ(run_answered({"-o", "ndjson", "list"}, response).output,
            "{\"name\":\"web1\",\"id\":\"\",\"state\":\"\"}\n{\"name\":\"db\",\"id\":\"\",\"state\":\"\"}\n");
}

TEST_F(QueryTest, HistoryIsLimited) {
  control::Request request;
  control::Response response;
  *response.mutable_migrations()->add_migrations() = completed();
  EXPECT_THAT(run_answered({"history", "web1", "-n", "5"}, response, &request).output,
              HasSubstr("2023-11-14 22:13:20  web1  hosta  hostb  completed"));
  EXPECT_EQ(request.history().vm(), "web1");
  EXPECT_EQ(request.history().limit(), 5u);
}

TEST_F(QueryTest, ShowPrintsAMigration) {
  EXPECT_THAT(run_answered({"show", "web1"}, response_with(moving_memory())).output,
              HasSubstr("  phase     memory, pass 2\n"));
}

TEST_F(QueryTest, TheDoctorsExitCodeSaysWhetherSomethingIsBad) {
  control::Response response;
  auto* item = response.mutable_doctor()->add_items();
  item->set_verdict(control::DoctorItem::WARNING);
  EXPECT_EQ(run_answered({"doctor"}, response).exit_code, 0);
  kill_daemon();
  item->set_verdict(control::DoctorItem::BAD);
  EXPECT_EQ(run_answered({"doctor"}, response).exit_code, 4);
}

TEST_F(QueryTest, PairShowsTheCodeAndWhereToTypeItAndWaits) {
  start_daemon();
  Program program({"pair", "hostb", "--address", "10.0.0.2"}, socket_path());
  const auto asked = next_request();
  EXPECT_EQ(asked.request.pair().host(), "hostb");
  EXPECT_EQ(asked.request.pair().address(), "10.0.0.2");
  EXPECT_EQ(asked.request.pair().code(), "");
  control::Response response;
  response.mutable_pairing()->set_code("1234-5678");
  response.mutable_pairing()->set_this_host("hosta");
  response.mutable_pairing()->set_lifetime_ms(600'000);
  asked.responder->send(response);
  program.wait_for_error_text("1234-5678");
  response.mutable_pairing()->clear_code();
  response.mutable_pairing()->mutable_peer()->set_name("hostb");
  asked.responder->finish(response);
  const auto ended = program.wait();
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_THAT(ended.errors, HasSubstr("On hostb, as root:  vmigrate pair hosta --enter-code"));
  EXPECT_THAT(ended.output, HasSubstr("hosta and hostb trust each other"));
}

TEST_F(QueryTest, PeersAreListedWithTheReasonForTheirTrust) {
  control::Response response;
  auto* paired = response.mutable_peers()->add_peers();
  paired->set_name("hostb");
  paired->set_paired(true);
  paired->set_key(std::string(64, 'a'));
  response.mutable_peers()->add_peers()->set_name("hostc");
  const auto text = run_answered({"peers", "list"}, response).output;
  EXPECT_THAT(text, HasSubstr("paired"));
  EXPECT_THAT(text, HasSubstr(std::string(16, 'a') + " "));
  EXPECT_THAT(text, HasSubstr("not paired"));
}

TEST_F(QueryTest, APeerIsRemovedByName) {
  control::Request request;
  control::Response response;
  response.mutable_peers()->add_peers()->set_name("hostb");
  EXPECT_EQ(run_answered({"peers", "remove", "hostb"}, response, &request).output,
            "hostb is trusted no more\n");
  EXPECT_EQ(request.remove_peer().host(), "hostb");
}

TEST_F(QueryTest, ResolveCarriesTheAdministratorsWord) {
  control::Request request;
  const auto ended = run_answered({"resolve", "web1", "--run-here", "--i-have-fenced", "hostb"},
                                  response_with(failed(control::NEEDS_ATTENTION, 9)), &request);
  EXPECT_EQ(request.resolve().vm(), "web1");
  EXPECT_EQ(request.resolve().fenced_host(), "hostb");
  EXPECT_EQ(ended.exit_code, 0);
  EXPECT_THAT(ended.errors, HasSubstr("vmigrate watch web1"));
}

TEST_F(QueryTest, VersionNamesBothPrograms) {
  control::Response response;
  response.mutable_version()->set_version("9.9.9");
  response.mutable_version()->set_hypervisor("libvirt 9.0.0, QEMU 7.2.22");
  const auto ended = run_answered({"version"}, response);
  EXPECT_THAT(ended.output,
              testing::MatchesRegex("vmigrate [0-9.]+\nmigrated 9.9.9 \\(libvirt 9.0.0, QEMU 7.2.22\\)\n"));
  EXPECT_THAT(ended.errors, HasSubstr("systemctl restart migrated"));
}

TEST_F(QueryTest, VersionSaysItsOwnAlsoWithoutADaemon) {
  const auto ended = run({"version"});
  EXPECT_EQ(ended.exit_code, 8);
  EXPECT_THAT(ended.output, StartsWith("vmigrate "));
}

TEST_F(QueryTest, ErrorsAreDocumentsToo) {
  const auto ended = run_answered({"show", "nothing", "-o", "ndjson"}, error_response_with(3));
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_EQ(ended.output,
            "{\"error\":{\"code\":3,\"message\":\"web1 cannot be moved to hostb: the link "
            "broke\",\"vm_state\":\"web1 runs "
            "on hosta\",\"hint\":\"try again\"}}\n");
}

TEST_F(QueryTest, WithoutADaemonItSaysSo) {
  for (const auto& arguments :
       std::vector<std::vector<std::string>>{{"list"}, {"start", "web1", "hostb"}, {"watch", "a"}}) {
    const auto ended = run(arguments);
    EXPECT_EQ(ended.exit_code, 8);
    EXPECT_THAT(ended.errors,
                HasSubstr("migrated does not run on this host: there is no socket " + socket_path()));
    EXPECT_THAT(ended.errors, HasSubstr("hint: start it: systemctl start migrated"));
  }
}

}  // namespace
}  // namespace vmigrate::cli
