#include "daemon/configuration.hpp"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vmigrate::daemon {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;
using testing::ResultOf;

Configuration parse(const std::string& text) {
  auto configuration = parse_configuration(text, "migrated.toml");
  EXPECT_TRUE(configuration) << configuration.error().message;
  return configuration.value_or(Configuration{});
}

Error error_of(const std::string& text) {
  auto configuration = parse_configuration(text, "migrated.toml");
  EXPECT_FALSE(configuration) << text;
  return configuration ? Error{} : configuration.error();
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

/// Every setting in one line of text, to compare two configurations.
std::string all_of(const Configuration& configuration) {
  const auto& c = configuration;
  std::string text;
  for (const auto& part : {c.host.name,
                           c.listen.address,
                           std::to_string(c.listen.port),
                           c.tls.certificate,
                           c.tls.key,
                           c.tls.ca,
                           c.paths.control_socket,
                           c.paths.vmm_socket,
                           c.paths.runtime,
                           c.paths.state,
                           c.control.group,
                           std::string(c.hypervisor.libvirt ? "yes" : "no"),
                           c.hypervisor.rpc_socket,
                           std::string(c.hypervisor.lossy_emulation ? "yes" : "no"),
                           to_string(c.migration.max_pause),
                           to_string(c.migration.bandwidth),
                           to_string(c.migration.memory),
                           to_string(c.migration.reconnect_window),
                           to_string(c.migration.stopped_window),
                           c.log.level}) {
    text += part + "|";
  }
  for (const auto& [name, peer] : c.peers) text += name + "=" + peer.address + "|";
  return text;
}

TEST(Configuration, AnEmptyFileHasEveryDefault) {
  EXPECT_EQ(all_of(parse("")), host_name() +
                                   "|0.0.0.0|16510||||/run/vmigrate/migrated.sock|"
                                   "/run/vmigrate/vmms.sock|/run/vmigrate|/var/lib/vmigrate|libvirt|"
                                   "yes||no|300 ms|0 B/s|128 MiB|1 min 0 s|3.0 s|info|");
}

TEST(Configuration, EveryOptionIsTakenOver) {
  const auto configuration = parse(R"(
    [host]
    name = "hosta"
    [listen]
    address = "10.0.0.1"
    port = 4000
    [tls]
    certificate = "/a/host.pem"
    key = "/a/host.key"
    ca = "/a/ca.pem"
    [paths]
    control_socket = "/a/sock"
    vmm_socket = "/a/vmms"
    runtime = "/a/run"
    state = "/a/state"
    [control]
    group = "kvm"
    [hypervisor]
    libvirt = "no"
    rpc_socket = "/a/libvirt-sock"
    lossy_emulation = "yes"
    [migration]
    max_pause = "1.5s"
    bandwidth = "2Gbit"
    memory = "64MiB"
    reconnect_window = "30s"
    stopped_window = "2s"
    [log]
    level = "debug"
    [peers.hostb]
    address = "10.0.0.2"
  )");
  EXPECT_EQ(all_of(configuration),
            "hosta|10.0.0.1|4000|/a/host.pem|/a/host.key|/a/ca.pem|/a/sock|/a/vmms|/a/run|/a/state|kvm|"
            "no|/a/libvirt-sock|yes|1.5 s|250 MB/s|64.0 MiB|30.0 s|2.0 s|debug|"
            "hostb=10.0.0.2:16510|");
}

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The packaged file with every option in force: they are commented with "#" alone, prose with "# ".
std::string uncommented(const std::string& packaged) {
  return std::regex_replace(packaged, std::regex("(^|\n)#(?=[a-z\\[])"), "$1");
}

TEST(Configuration, ThePackagedFileSaysTheDefaults) {
  const auto packaged = content_of(PACKAGED_CONFIGURATION);
  EXPECT_EQ(all_of(parse(packaged)), all_of(parse("")));

  auto expected = parse("");
  expected.host.name = "hosta";  // the example's own
  expected.peers["hostb"] = {"hostb.example.org", 16510, "hostb.example.org:16510"};
  expected.peers["hostc"] = {"10.0.0.3", 16510, "10.0.0.3:16510"};
  EXPECT_EQ(all_of(parse(uncommented(packaged))), all_of(expected));
}

TEST(Configuration, ThePackagedFileAndTheManualHaveEveryOption) {
  const auto packaged = uncommented(content_of(PACKAGED_CONFIGURATION));
  const auto manual = content_of(MANUAL_PAGE);
  for (const std::string option : {"name",
                                   "address",
                                   "port",
                                   "certificate",
                                   "key",
                                   "ca",
                                   "control_socket",
                                   "vmm_socket",
                                   "runtime",
                                   "state",
                                   "group",
                                   "watch",
                                   "check",
                                   "start",
                                   "cancel",
                                   "resolve",
                                   "pair",
                                   "vm",
                                   "hosts",
                                   "libvirt",
                                   "rpc_socket",
                                   "lossy_emulation",
                                   "max_pause",
                                   "bandwidth",
                                   "memory",
                                   "reconnect_window",
                                   "stopped_window",
                                   "level"}) {
    std::smatch line;
    ASSERT_TRUE(std::regex_search(packaged, line, std::regex(fmt::format("\n{} = (.*)\n", option))))
        << option;
    const std::string value = option == "name" ? "\"_NAME_\"" : line[1].str();
    // A star is bold in the manual's source.
    const std::string in_manual = std::regex_replace(value, std::regex("\\*"), "\\*");
    EXPECT_THAT(manual, HasSubstr(fmt::format("\n*{}* = {}", option, in_manual)));
  }
}

TEST(Configuration, TheCertificateItsKeyAndTheAuthorityBelongTogether) {
  EXPECT_EQ(all_of(parse("[tls]\ncertificate = \"\"\nkey = \"\"\nca = \"\"\n")), all_of(parse("")));
  EXPECT_THAT(error_of("[tls]\ncertificate = \"/a\"\n").message, HasSubstr("without the other"));
  EXPECT_THAT(error_of("[tls]\nca = \"/a\"\n").message, HasSubstr("no certificate for this host"));
  EXPECT_THAT(error_of("[tls]\nca = \"/a\"\n").hint, HasSubstr("vmigrate pair"));
  EXPECT_EQ(error_of("[tls]\nkey = \"relative\"\n").code, ErrorCode::usage);
}

TEST(Configuration, RulesAreTakenOverInTheirOrder) {
  const auto configuration = parse(R"(
    [allow]
    start = ["alice", "@operators"]
    [[send]]
    vm = "db*"
    hosts = ["hostc"]
    [[send]]
    [[receive]]
    hosts = []
  )");
  EXPECT_TRUE(configuration.allow.permits(trust::Verb::start, {1, "alice", {}}, ""));
  EXPECT_FALSE(configuration.allow.permits(trust::Verb::start, {1, "bob", {}}, ""));
  EXPECT_TRUE(configuration.send.permit({"web1", "id"}, "hostb", ""));
  EXPECT_FALSE(configuration.send.permit({"db1", "id"}, "hostb", ""));
  EXPECT_FALSE(configuration.receive.permit({"web1", "id"}, "hostb", ""));
}

TEST(Configuration, RulesThatMakeNoSenseAreRefusedWithTheirPlace) {
  EXPECT_THAT(error_of("[allow]\nstrat = []\n").hint, HasSubstr("did you mean start?"));
  EXPECT_EQ(error_of("[allow]\nstart = \"alice\"\n").message, "migrated.toml:2: this is text, not a list");
  EXPECT_THAT(error_of("[allow]\nstart = [1]\n").message, HasSubstr("not text"));
  EXPECT_THAT(error_of("[allow]\nstart = [\"@\"]\n").message, HasSubstr("nobody is called that"));
  EXPECT_THAT(error_of("[send]\nvm = \"*\"\n").hint, HasSubstr("[[send]]"));
  EXPECT_THAT(error_of("[[send]]\nhost = []\n").hint, HasSubstr("did you mean hosts?"));
  EXPECT_THAT(error_of("send = [1]\n").message, HasSubstr("not a section"));
}

TEST(Configuration, PeersAreFoundInEveryWayOfWritingAnAddress) {
  const auto peers = parse(R"(
    [peers]
    a = { address = "10.0.0.2" }
    b = { address = "hostb.example.org:4000" }
    c = { address = "fd00::2" }
    d = { address = "[fd00::3]:4000" }
    e = { address = "[fd00::4]" }
  )")
                         .peers;
  const auto host = [](const Configuration::Peer& peer) { return peer.host; };
  const auto address = [](const Configuration::Peer& peer) { return peer.address; };
  EXPECT_THAT(peers, ElementsAre(Pair("a", ResultOf(address, "10.0.0.2:16510")),
                                 Pair("b", ResultOf(address, "hostb.example.org:4000")),
                                 Pair("c", ResultOf(address, "[fd00::2]:16510")),
                                 Pair("d", ResultOf(address, "[fd00::3]:4000")),
                                 Pair("e", ResultOf(address, "[fd00::4]:16510"))));
  EXPECT_THAT(
      peers, ElementsAre(Pair("a", ResultOf(host, "10.0.0.2")),
                         Pair("b", ResultOf(host, "hostb.example.org")), Pair("c", ResultOf(host, "fd00::2")),
                         Pair("d", ResultOf(host, "fd00::3")), Pair("e", ResultOf(host, "fd00::4"))));
}

TEST(Configuration, AllHostsCanShareOneListOfPeers) {
  const auto configuration = parse(R"(
    [peers.hosta]
    address = "10.0.0.1"
    [peers.hostb]
    address = "10.0.0.2"
    [host]
    name = "hosta"
  )");
  EXPECT_THAT(configuration.peers, ElementsAre(Pair("hostb", testing::_)));
}

TEST(Configuration, AnUnknownOptionIsRefusedWithItsPlaceAndTheNearestName) {
  const auto error = error_of("[migration]\n\nmax_puase = \"1s\"\n");
  EXPECT_EQ(error.code, ErrorCode::usage);
  EXPECT_EQ(error.message, "migrated.toml:3: [migration] has no option 'max_puase'");
  EXPECT_EQ(error.hint,
            "did you mean max_pause? [migration] has max_pause, bandwidth, memory, reconnect_window, "
            "stopped_window");
}

TEST(Configuration, AnUnknownSectionIsRefused) {
  const auto error = error_of("[log]\nlevel = \"info\"\n[lisen]\nport = 1\n");
  EXPECT_EQ(error.message, "migrated.toml:3: migrated.toml has no option 'lisen'");
  EXPECT_THAT(error.hint, HasSubstr("did you mean listen?"));
}

TEST(Configuration, NothingIsGuessedWhereNothingIsNear) {
  EXPECT_EQ(error_of("[log]\ncolour = true\n").hint, "[log] has level");
}

TEST(Configuration, AnUnknownOptionOfAPeerIsRefused) {
  EXPECT_EQ(error_of("[peers.hostb]\naddress = \"b\"\nport = 4000\n").message,
            "migrated.toml:3: [peers.hostb] has no option 'port'");
}

struct Bad {
  const char* text;
  const char* message;
  const char* hint;
};

class BadConfiguration : public testing::TestWithParam<Bad> {};

TEST_P(BadConfiguration, IsRefusedWithItsPlaceAndWhatIsPossible) {
  const auto error = error_of(GetParam().text);
  EXPECT_EQ(error.code, ErrorCode::usage);
  EXPECT_THAT(error.message, HasSubstr(GetParam().message));
  EXPECT_THAT(error.hint, HasSubstr(GetParam().hint));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadConfiguration,
    testing::Values(
        Bad{"[listen]\nport = \"16510\"\n", "migrated.toml:2: this is text, not a number", "without quotes"},
        Bad{"[listen]\nport = 0\n", "migrated.toml:2: 0 is not a port", "1 to 65535"},
        Bad{"[listen]\nport = 70000\n", "migrated.toml:2: 70000 is not a port", "1 to 65535"},
        Bad{"[listen]\nport = 1.5\n", "this is a fraction, not a number", ""},
        Bad{"listen = 5\n", "migrated.toml:1: this is a number, not a section", "[listen]"},
        Bad{"[host]\nname = true\n", "this is true or false, not text", "quotes"},
        Bad{"[host]\nname = \"\"\n", "'' is not a host name", "letters"},
        Bad{"[host]\nname = \"a/b\"\n", "'a/b' is not a host name", "letters"},
        Bad{"[paths]\nstate = \"state\"\n", "'state' is not an absolute path", "begin it with /"},
        Bad{"[paths]\nstate = \"\"\n", "'' is not an absolute path", "begin it with /"},
        Bad{"[migration]\nmax_pause = 300\n", "this is a number, not text", "quotes"},
        Bad{"[migration]\nmax_pause = \"300\"\n", "migrated.toml:2: '300' is not a number with a unit",
            "300ms"},
        Bad{"[migration]\nmax_pause = \"0ms\"\n", "a pause of 0ms is not possible", "1ms to 30min"},
        Bad{"[migration]\nmax_pause = \"2h\"\n", "a pause of 2h is not possible", "1ms to 30min"},
        Bad{"[migration]\nbandwidth = \"fast\"\n", "migrated.toml:2: 'fast' is not a number with a unit",
            "2Gbit"},
        Bad{"[migration]\nbandwidth = \"0MB\"\n", "nothing would move", "no limit"},
        Bad{"[migration]\nmemory = \"8MiB\"\n", "8MiB for a migration is not possible", "64MiB to 2GiB"},
        Bad{"[migration]\nreconnect_window = \"2h\"\n", "to wait 2h for a lost link is not possible",
            "0s to 60min"},
        Bad{"[migration]\nstopped_window = \"long\"\n", "'long' is not a number with a unit", "2s"},
        Bad{"[log]\nlevel = \"loud\"\n", "'loud' is not a log level", "trace, debug"},
        Bad{"[peers.hostb]\n", "migrated.toml:1: [peers.hostb] has no address", "address = "},
        Bad{"[peers.hostb]\naddress = \"hostb:port\"\n", "'hostb:port' is not an address", "10.0.0.2"},
        Bad{"[peers.hostb]\naddress = \"hostb:0\"\n", "'hostb:0' is not an address", "10.0.0.2"},
        Bad{"[peers.hostb]\naddress = \"[fd00::2\"\n", "'[fd00::2' is not an address", "[fd00::2]:16510"},
        Bad{"[peers.hostb]\naddress = \"ssh://hostb\"\n", "'ssh://hostb' is not an address", "10.0.0.2"},
        Bad{"[peers.\"host b\"]\naddress = \"b\"\n", "'host b' is not a host name", "letters"},
        Bad{"[peers]\nhostb = \"10.0.0.2\"\n", "this is text, not a section", "[peers.hostb]"},
        Bad{"[listen]\nport = 1\nport = 2\n", "migrated.toml:3:", "migrated.toml(5)"},
        Bad{"[listen\n", "migrated.toml:1:", "migrated.toml(5)"}));

TEST(Configuration, AFileThatCannotBeReadSaysWhy) {
  const auto missing = load_configuration("/nonexistent/migrated.toml");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            "cannot read the configuration /nonexistent/migrated.toml: No such file or directory");
  const auto folder = load_configuration("/tmp");
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error().message, HasSubstr("cannot read the configuration /tmp: Is a directory"));
}

TEST(Configuration, AFileIsReadAndNamedInItsErrors) {
  const std::string path = testing::TempDir() + "configuration_test.toml";
  std::ofstream(path) << "[host]\nname = 1\n";
  const auto configuration = load_configuration(path);
  std::remove(path.c_str());
  ASSERT_FALSE(configuration);
  EXPECT_EQ(configuration.error().message, path + ":2: this is a number, not text");
}

}  // namespace
}  // namespace vmigrate::daemon
