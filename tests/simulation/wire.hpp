#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>

#include "network.hpp"

namespace vmigrate::simulation {

/// What is told of the RAM lane, whose bytes nobody looks at here.
class StreamEnd {
 public:
  virtual ~StreamEnd() = default;
  virtual void broke(const Error& why) = 0;
  /// At the receiving end: everything is here. It holds the VM as it was at that moment of its life.
  virtual void complete(std::uint64_t version) = 0;
};

/// A connected session between the hosts, with an end at each.
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
  /// Message lanes by their number, the stream as one of its own, and the end of it all.
  struct Letter {
    std::optional<peer::Lane> lane;
    ByteBuffer message;
    std::uint64_t version = 0;
  };
  using Queue = std::deque<Letter>;

  struct End {
    std::shared_ptr<Life> life;
    std::optional<peer::SessionEvents> events;
    std::map<int, Queue> queues;  // of what comes in
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
  void enqueue(Side to, int queue, Letter letter);
  void deliver_later(Side to, int queue);
  void deliver_next(Side to, int queue);
  void deliver(Side to, Letter letter);
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
