#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "network.hpp"
#include "peer/resumable_lanes.hpp"

namespace vmigrate::simulation {

/// What is told of the RAM lane, whose bytes nobody looks at here.
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;
  virtual void broke(const Error& why) = 0;
  /// At the receiving end: everything is here. It holds the VM as it was at that moment of its life.
  virtual void complete(std::uint64_t version) = 0;
};

/// A connected session between the hosts, with an end at each. What is said on its message lanes are the
/// bytes of the peer module's own lanes, which arrive in pieces, and are lost on their way with the
/// connection.
class Wire : public std::enable_shared_from_this<Wire> {
 public:
  Wire(Network& network, Side dialled, std::shared_ptr<Life> here, std::shared_ptr<Life> there);

  void start(Side side, peer::SessionEvents events);
  void set_window(Side side, Milliseconds window);
  void send(Side from, peer::Lane lane, ByteBuffer message);
  void close(Side from);
  /// Its session object is gone: nothing is told there any more.
  void leave(Side side);
  /// The connection is lost. Both ends notice, one after the other; whoever dialled brings it back, with all
  /// that was on its way, if both wait for that.
  void lose();

  void carry_stream(Side from, std::uint64_t version);
  void attach(Side side, std::weak_ptr<StreamEnd> stream);
  bool is_open(Side side) const { return !end(side).over && !end(side).closed_here; }
  bool is_lost() const { return lost_; }

 private:
  struct End {
    std::shared_ptr<Life> life;
    std::optional<peer::SessionEvents> events;
    peer::ResumableLanes lanes;
    ByteBuffer flight;                                  // on its way to here
    std::map<peer::Lane, std::deque<ByteBuffer>> sent;  // from the other end, and not heard here yet
    std::deque<std::uint64_t> streams;                  // likewise
    std::weak_ptr<StreamEnd> stream;
    std::optional<std::uint64_t> complete;
    bool closed_here = false;
    bool over = false;
    bool left = false;
    Milliseconds window{0};
    MonotonicTime window_set;
    std::optional<MonotonicTime> stalled{};
  };

  End& end(Side side) { return ends_[static_cast<std::size_t>(side)]; }
  const End& end(Side side) const { return ends_[static_cast<std::size_t>(side)]; }
  /// Calls `arrive` after a while, which says whether anything has: then a close behind it may be heard. What
  /// cannot arrive yet it calls this for again.
  void later(Side to, bool (Wire::*arrive)(Side to));
  bool cannot_arrive(Side to) const;
  bool bytes_arrive(Side to);
  bool stream_arrives(Side to);
  void put_out(Side from);
  void check(Side to, peer::Lane lane, const ByteBuffer& message);
  void deliver(Side to, peer::Lane lane, ByteBuffer message);
  void close_when_empty(Side to);
  bool is_gone(Side side) const;
  void notice(Side side);
  void give_up_in_time(Side side);
  void redial_later();
  void redial();
  void come_back();
  void end_session(Side side);
  ByteBuffer as_read(Side reader, ByteBuffer message) const;

  Network& network_;
  Stage stage_;
  const Side dialler_;
  std::array<End, 2> ends_{};
  bool lost_ = false;
};

}  // namespace vmigrate::simulation
