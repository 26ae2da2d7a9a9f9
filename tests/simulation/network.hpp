#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "peer/session.hpp"
#include "stage.hpp"

namespace vmigrate::simulation {

class Wire;

/// The network between the two hosts, and the sessions that they have over it: ordered within a lane and in
/// no order otherwise; lost with the connections that carry them. What the peer module promises is taken for
/// granted: no message of a lane is lost before another that arrives.
class Network {
 public:
  explicit Network(Stage stage) : stage_(stage) {}

  /// Whoever listens at a host: its life, and what is done with a session.
  void listen(Side side, std::shared_ptr<Life> life, peer::AcceptHandler accept);
  std::unique_ptr<peer::Dialer> dialer(Side side, std::shared_ptr<Life> life);

  void cut(Side from, std::chrono::microseconds duration);
  /// Every connection that there is; new ones are possible.
  void lose_all();
  void heal();
  /// Nothing is heard of this host any more, of what was open before.
  void lose_power(Side side);

  bool is_listening(Side side) const;
  bool is_down(Side from) const { return down_[static_cast<std::size_t>(from)] > 0; }
  const Stage& stage() const { return stage_; }

 private:
  friend class SimulatedDialer;
  Result<std::unique_ptr<peer::Session>> connect(Side from, const std::shared_ptr<Life>& life);
  void each_wire(const std::function<void(Wire&)>& does);

  struct Listener {
    std::shared_ptr<Life> life;
    peer::AcceptHandler accept;
  };
  const Stage stage_;
  std::array<Listener, 2> listeners_{};
  std::array<int, 2> down_{};
  std::uint64_t cuts_ = 0;
  std::vector<std::weak_ptr<Wire>> wires_;
};

}  // namespace vmigrate::simulation
