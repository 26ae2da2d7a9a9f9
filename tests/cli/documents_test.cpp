#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "program.hpp"

namespace vmigrate::cli {
namespace {

using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::UnorderedElementsAre;
using Words = std::set<std::string>;

const Words kCommands{"start",   "move",  "check", "list",  "show",   "watch",   "cancel", "audit",
                      "history", "hosts", "pair",  "peers", "doctor", "resolve", "version"};

Words options_in(const std::string& help) {
  const std::regex option("--[a-z-]+");
  return {std::sregex_token_iterator(help.begin(), help.end(), option), {}};
}

class DocumentsTest : public ProgramTest {
 protected:
  /// What bash would offer for the word after these.
  Words completions(const std::string& words, const std::string& begun = "") const {
    const auto folder = std::filesystem::path(VMIGRATE_PROGRAM).parent_path().string();
    const std::string script =
        "PATH=" + folder + ":$PATH; export VMIGRATE_SOCKET=" + socket_path() + "; source " + COMPLETION +
        "; COMP_WORDS=(vmigrate " + words + " '" + begun +
        "'); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _vmigrate; echo \"${COMPREPLY[@]}\"";
    const std::unique_ptr<FILE, int (*)(FILE*)> bash(
        ::popen(("bash -c '" + quoted(script) + "'").c_str(), "r"), &::pclose);
    std::string text;
    std::array<char, 4096> bytes{};
    while (const auto count = std::fread(bytes.data(), 1, bytes.size(), bash.get()))
      text.append(bytes.data(), count);
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
  }

 private:
  static std::string quoted(const std::string& text) {
    return std::regex_replace(text, std::regex("'"), "'\\''");
  }
};

TEST_F(DocumentsTest, TheManualHasEveryCommandAndEveryOption) {
  std::ifstream file(MANUAL_PAGE);
  ASSERT_TRUE(file) << MANUAL_PAGE;
  const std::string manual{std::istreambuf_iterator<char>(file), {}};
  for (const auto& command : kCommands) {
    EXPECT_THAT(manual, HasSubstr("*" + command + "*"));
    for (const auto& option : options_in(run({command, "--help"}).output)) {
      EXPECT_THAT(manual, HasSubstr("*" + option + "*")) << "of " << command;
    }
  }
}

TEST_F(DocumentsTest, CompletionOffersTheCommands) {
  EXPECT_EQ(completions(""), kCommands);
  EXPECT_THAT(completions("", "h"), UnorderedElementsAre("history", "hosts"));
}

TEST_F(DocumentsTest, CompletionOffersTheOptionsOfACommand) {
  const auto offered = completions("start web1", "--");
  EXPECT_THAT(offered,
              IsSupersetOf({"--max-pause", "--bandwidth", "--detach", "--check", "--output", "--socket"}));
  EXPECT_THAT(completions("list", "--"), UnorderedElementsAre("--help", "--output", "--socket"));
  EXPECT_THAT(completions("list -o"), UnorderedElementsAre("table", "json", "ndjson"));
  EXPECT_THAT(completions("audit", "--"), IsSupersetOf({"--since", "--vm", "--user", "--limit", "--output"}));
  EXPECT_THAT(completions("audit"), UnorderedElementsAre("verify"));
}

TEST_F(DocumentsTest, CompletionOffersTheVms) {
  start_daemon();
  std::jthread daemon([this] {
    control::Response response;
    response.mutable_vms()->add_vms()->set_name("web1");
    response.mutable_vms()->add_vms()->set_name("database");
    next_request().responder->finish(response);
  });
  EXPECT_THAT(completions("start --max-pause 50ms"), UnorderedElementsAre("web1", "database"));
}

}  // namespace
}  // namespace vmigrate::cli
