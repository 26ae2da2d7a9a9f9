#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "migration/messages.hpp"
#include "peer/session.hpp"

namespace vmigrate::migration {

class LoopbackEnd;

/// A network of daemons in one process, that a test can cut at any message. A session with a reconnect window
/// stalls until the network is healed, and loses nothing; any other is over.
class LoopbackNetwork {
 public:
  /// What a test wants to happen to a message that is about to be delivered.
  enum class Fate {
    deliver,
    cut_before,  ///< lost, and all links are down from now on
    cut_after,   ///< delivered, and all links are down from now on
    down,        ///< lost: the links are down already. Not for a test to say.
  };
  using Judge = std::function<Fate(const std::string& from, peer::Lane lane, ByteView message)>;

  void listen(const std::string& host, peer::AcceptHandler accept);
  /// As when a daemon dies: nobody listens there, and its sessions break. Nothing is accepted there any more
  /// when it returns.
  void silence(const std::string& host);
  std::unique_ptr<peer::Dialer> dialer(const std::string& host);
  void set_judge(Judge judge);
  void cut();
  /// Waits until a judge has cut it.
  void await_cut();
  void heal();
  /// Of sessions that are made from now on; before any is.
  void set_certificates_end(std::chrono::system_clock::time_point end) { certificates_end_ = end; }
  void set_features(std::vector<std::string> features) { features_ = std::move(features); }

 private:
  friend class LoopbackDialer;
  friend class LoopbackEnd;
  Result<std::unique_ptr<peer::Session>> connect(const std::string& from, const std::string& to);
  Fate judge(const std::string& from, peer::Lane lane, ByteView message);
  /// Waits until it is healed, as long as `may_wait` says. Whether it is.
  bool await_heal(const std::function<bool()>& may_wait);
  using Ends = std::vector<std::shared_ptr<LoopbackEnd>>;
  /// With the lock held. The caller drops what it gets once it is not.
  Ends break_all(const std::string& only_of = {});

  std::mutex mutex_;
  std::map<std::string, peer::AcceptHandler> listeners_;
  std::map<std::string, int> accepting_;  // how often its handler is at work
  std::vector<std::pair<std::set<std::string>, std::weak_ptr<LoopbackEnd>>> ends_;
  Judge judge_;
  std::condition_variable changed_;
  bool cut_ = false;
  std::vector<std::string> features_{std::string(kTakenFeature)};  // of all hosts
  std::chrono::system_clock::time_point certificates_end_ = std::chrono::system_clock::time_point::max();
};

}  // namespace vmigrate::migration
