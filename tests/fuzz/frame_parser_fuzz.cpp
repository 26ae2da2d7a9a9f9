// Frames of a session's message lanes: however they are cut they are the same, no message is longer than its
// lane allows, and no more than a lane's window is ever kept.
#include "fuzz.hpp"
#include "peer/frame.hpp"
#include "peer/incoming_lanes.hpp"

namespace vmigrate::fuzz {
namespace {

std::vector<peer::Frame> read_frames(ByteView bytes, std::size_t piece) {
  std::vector<peer::Frame> frames;
  peer::FrameReader reader;
  for (Input rest(bytes); !rest.empty();) {
    reader.add(rest.take(piece));
    for (;;) {
      auto frame = reader.next();
      if (!frame) return frames;
      if (!*frame) break;
      require((*frame)->payload.size() <= peer::kLongestPayload, "a payload is no longer than allowed");
      frames.push_back(std::move(**frame));
    }
  }
  return frames;
}

bool same(const peer::Frame& left, const peer::Frame& right) {
  return left.lane == right.lane && left.more == right.more && left.payload == right.payload;
}

void check_lanes(const std::vector<peer::Frame>& frames, bool deals) {
  peer::IncomingLanes lanes;
  std::map<peer::Lane, std::size_t> kept;
  for (const auto& frame : frames) {
    const auto taken = lanes.take(frame);
    if (!taken) return;
    const peer::Lane lane{frame.lane};
    kept[lane] += frame.payload.size();
    require(kept[lane] <= peer::window(lane), "no more is kept than the window");
    if (!*taken) continue;
    const auto size = (*taken)->bytes.size();
    require(size <= peer::longest_message(lane), "a message is no longer than its lane allows");
    if (!deals) continue;
    kept[lane] -= size;
    ByteBuffer grant;
    if (lanes.dealt_with(lane, size)) require(lanes.append_grant(grant), "a grant that is due is there");
  }
}

ByteBuffer frame(std::uint32_t lane, bool more, std::size_t size) {
  ByteBuffer bytes;
  peer::append_frame(bytes, lane, more, ByteBuffer(size, std::byte{'x'}));
  return bytes;
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  std::vector<ByteBuffer> all;
  Seed many;
  many.number(0, 1);
  for (const std::uint32_t lane : {1U, 2U, 3U, 0U, 4U}) {
    all.push_back(Seed()
                      .number(lane, 1)
                      .raw(frame(lane, true, 30))
                      .raw(frame(lane, false, 5))
                      .raw(frame(1, false, 0))
                      .bytes());
    many.raw(frame(lane, lane == 2, 100));
  }
  all.push_back(many.bytes());
  return all;
}

void check(ByteView input) {
  Input in(input);
  const auto choice = in.number(1);
  const auto frames = read_frames(in.rest(), std::max<std::size_t>(in.rest().size(), 1));
  const auto pieces = read_frames(in.rest(), choice / 2 + 1);
  require(std::ranges::equal(frames, pieces, same), "the cuts make no difference");
  ByteBuffer again;
  for (const auto& each : frames) peer::append_frame(again, each.lane, each.more, each.payload);
  require(std::ranges::equal(read_frames(again, again.size() + 1), frames, same),
          "written again they are the same");
  check_lanes(frames, choice % 2 == 0);
}

}  // namespace vmigrate::fuzz
