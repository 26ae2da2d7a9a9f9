// What the daemons say to each other on the control lane: what is understood means the same when it is said
// again, and whatever words a host comes to say, the other understands the message.
#include "fuzz.hpp"
#include "migration/messages.hpp"

namespace vmigrate::fuzz {
namespace {

using namespace migration;

const std::string kId = "6b1e5a6e-3b5c-4a29-9a4e-0e7a3d3f1a01";

void check_said_again(const ControlMessage& message) {
  const auto said = encode(message);
  const auto understood = decode(said);
  require(understood.has_value(), "what a host says is understood");
  require(encode(*understood) == said, "said again it is the same");
}

/// Words for people come from hypervisors, kernels and files: any bytes can be in them.
ControlMessage from_words(Input& in) {
  const auto id = MigrationId::parse(kId).value();
  switch (in.number(1) % 3) {
    case 0: return Abort{in.text()};
    case 1: return OfferAnswer{"hostb", {{ErrorCode::refused, in.text(), in.text()}}, {}};
    default: break;
  }
  const auto outcome = static_cast<handover::Outcome>(in.number(1) % 5 + 1);
  return Verdict{id, outcome, in.text(), copy_of(in.piece()),
                 1,  2,       3,         {{"52:54:00:00:00:01", 4, {}, in.text()}}};
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  const auto id = MigrationId::parse(kId).value();
  Seed words;
  words.number(1, 1).number(2, 1).number(1, 1).piece("QEMU: cannot open").piece("answer").piece("no bridge");
  std::vector<ByteBuffer> all{words.bytes()};
  const auto say = [&](const ControlMessage& message) {
    all.push_back(Seed().number(0, 1).raw(encode(message)).bytes());
  };
  hypervisor::DomainDescription domain;
  domain.name = "web1";
  domain.id = VmId::parse(kId).value();
  domain.disks.push_back({.target = "vda", .path = "/srv/web1"});
  domain.interfaces.push_back({.mac = "52:54:00:00:00:01", .link = "br0", .vlan = 42});
  say(Offer{id, true, "/run/vmigrate/x", "hosta", domain});
  say(OfferAnswer{"hostb", {{ErrorCode::refused, "no bridge", "make one"}}, {1 << 20}});
  say(Abort{"cancelled"});
  say(Finish{id, ByteBuffer(40), {1000, ByteBuffer(16)}, {{"52:54:00:00:00:01", {"10.0.0.7"}}}});
  say(Verdict{
      id, handover::Outcome::running, "", ByteBuffer(40), 1, 2, 3, {{"52:54:00:00:00:01", 1, {}, ""}}});
  say(Ask{id});
  say(Confirmed{id});
  say(Ping{"0.1.0"});
  say(Taken{std::uint64_t{1} << 40});
  return all;
}

void check(ByteView input) {
  Input in(input);
  if (in.number(1) % 2 == 1) return check_said_again(from_words(in));
  if (const auto message = decode(in.rest())) check_said_again(*message);
}

}  // namespace vmigrate::fuzz
