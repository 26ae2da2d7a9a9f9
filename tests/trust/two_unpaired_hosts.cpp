#include "two_unpaired_hosts.hpp"

#include <csignal>

namespace vmigrate::trust {

UnpairedHost::UnpairedHost(const std::string& called, Milliseconds lifetime) : name(called) {
  std::signal(SIGPIPE, SIG_IGN);  // as migrated does
  const auto files = ensure_own_identity(folder.path(), name, std::chrono::system_clock::now());
  EXPECT_TRUE(files) << files.error().message;
  peers = *PairedPeers::open(folder.file("peers.toml"));
  // What is told others is where this host listens; the tests say by hand where to dial.
  pairing = std::make_shared<Pairing>(Pairing::Self{.name = name, .port = 1, .lifetime = lifetime}, peers);
  credentials = std::make_unique<peer::Credentials>(*peer::Credentials::load(*files, peers, pairing));
  auto listener = peer::Listener::create(
      endpoint(), "127.0.0.1", 0,
      [this](std::unique_ptr<peer::Session> session) { accepted.push(std::move(session)); });
  EXPECT_TRUE(listener);
  listener_ = std::move(*listener);
}

UnpairedHost::~UnpairedHost() = default;

peer::Endpoint UnpairedHost::endpoint() {
  peer::Endpoint endpoint{*credentials, {}, "1.2.3"};
  endpoint.bulk_connections = {1, 1};
  endpoint.turned_away = [this](const peer::TurnedAway& who) { turned_away.push(who); };
  return endpoint;
}

Result<PairedPeer> UnpairedHost::enter(const std::string& other, std::uint16_t where,
                                       const std::string& code) {
  return pairing->enter(*credentials, {other, peer::HostAddress{"127.0.0.1", where}, "root (uid 0)"}, code);
}

Invited::Invited(UnpairedHost& host, const std::string& other)
    : host_(host), invitation_(*host.pairing->invite({other, {}, "root (uid 0)"})) {
}

Invited::~Invited() {
  host_.pairing->withdraw(invitation_);
}

std::string Invited::wrong_code() const {
  auto other = code();
  other.back() = other.back() == '0' ? '1' : '0';
  return other;
}

Result<PairedPeer> Invited::outcome() {
  return host_.pairing->wait(invitation_);
}

void TwoUnpairedHosts::pair() {
  Invited invited(a, "hostb");
  const auto entered = b.enter("hosta", a.port(), invited.code());
  ASSERT_TRUE(entered) << entered.error().message;
  const auto shown = invited.outcome();
  ASSERT_TRUE(shown) << shown.error().message;
  // Where hosta would dial hostb: in the test it listens elsewhere than it says.
  auto there = *shown;
  there.address.port = b.port();
  ASSERT_TRUE(a.peers->add(there));
}

void TwoUnpairedHosts::expect_strangers() const {
  EXPECT_TRUE(a.peers->list().empty());
  EXPECT_TRUE(b.peers->list().empty());
}

}  // namespace vmigrate::trust
