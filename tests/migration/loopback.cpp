#include "loopback.hpp"

#include <atomic>
#include <optional>
#include <thread>

#include "base/bounded_queue.hpp"

namespace vmigrate::migration {

namespace {

constexpr std::size_t kBulkCapacity = std::size_t{256} * 1024;

/// The RAM lane: bytes in order, with an end that only finish() makes.
struct BulkPipe : peer::BulkSender, peer::BulkReceiver {
  /// `link` waits while the network is down, unless the pipe is closed.
  explicit BulkPipe(std::function<void(const std::atomic<bool>&)> link)
      : wait([this, link = std::move(link)] { link(closed); }) {}

  std::function<void()> wait;
  std::atomic<bool> closed = false;
  BoundedQueue<ByteBuffer> queue{kBulkCapacity};

  // Who reads has a window: what the writer's end means for it shows on its own link.
  std::atomic<bool> reader_waits = false;

  void close() {
    closed = true;
    queue.close();
  }

  /// As the real one: what fits into its queue waits there for the network, and nobody for it.
  Result<> write_parts(Parts parts) override {
    for (const auto part : parts) {
      // Empty is the end.
      if (!part.empty() && !queue.push(copy_of(part), part.size())) {
        return fail(ErrorCode::unreachable, "the link is down");
      }
    }
    return {};
  }
  Result<> finish() override {
    if (queue.push({}, 0)) return {};
    return fail(ErrorCode::unreachable, "the link is down");
  }
  std::chrono::nanoseconds waited() const override { return {}; }
  Result<ByteBuffer> read() override {
    auto bytes = queue.pop();
    wait();
    if (bytes) return std::move(*bytes);
    constexpr std::chrono::milliseconds kLook{1};
    while (reader_waits) std::this_thread::sleep_for(kLook);
    return fail(ErrorCode::unreachable, "the link is down");
  }
};

}  // namespace

/// One end of a session. Messages are delivered from a thread of its own.
class LoopbackEnd : public std::enable_shared_from_this<LoopbackEnd> {
 public:
  LoopbackEnd(LoopbackNetwork& network, std::string self, std::string other, std::shared_ptr<BulkPipe> bulk,
              bool dialled, std::vector<std::string> features,
              std::chrono::system_clock::time_point certificates_end)
      : network_(network),
        self_(std::move(self)),
        peer_{std::move(other), "loopback", std::move(features), certificates_end},
        bulk_(std::move(bulk)),
        dialled_(dialled) {}
  ~LoopbackEnd() {
    inbox_.close();
    if (thread_.joinable()) thread_.join();
  }

  void join(const std::shared_ptr<LoopbackEnd>& other) { other_ = other; }
  void start(peer::SessionEvents events) {
    events_ = std::move(events);
    thread_ = std::jthread([this] { deliver(); });
  }
  void send(peer::Lane lane, ByteBuffer message) {
    if (auto other = other_.lock()) other->inbox_.push(Letter{lane, std::move(message)});
  }
  /// From this side. What was sent before still arrives.
  void close() {
    closed_here_ = true;
    end_bulk();
    inbox_.close();
    const auto other = other_.lock();
    if (!other) return;
    // While the link is down nobody hears of it, and nobody is there when it is back.
    if (network_.await_heal([] { return false; }))
      other->inbox_.push(std::nullopt);
    else
      other->gone_ = true;
  }
  /// `for_good`: the daemon at the other end is gone. Who has dialled learns that at once; who has listened
  /// cannot know it.
  void break_link(bool for_good) {
    gone_ = gone_ || for_good;
    if (window() == Milliseconds(0)) end_bulk();
    inbox_.push(Letter{});
  }
  void set_reconnect_window(Milliseconds window) {
    window_ = window;
    if (!dialled_) bulk_->reader_waits = window > Milliseconds(0);
  }
  void stop() {
    inbox_.close();
    if (thread_.joinable()) thread_.join();
  }
  const peer::PeerIdentity& peer() const { return peer_; }
  BulkPipe& bulk() { return *bulk_; }

 private:
  struct Letter {
    peer::Lane lane{};  // none: the link has broken
    ByteBuffer message;
  };

  Milliseconds window() const { return window_; }
  void end_bulk() {
    bulk_->close();
    if (!dialled_) bulk_->reader_waits = false;
  }

  void deliver() {
    while (auto letter = inbox_.pop()) {
      if (closed_here_) return;
      if (*letter && pass_on(**letter)) continue;
      end_bulk();
      if (const auto other = other_.lock(); other && *letter) other->gone_ = true;
      if (!closed_here_) events_.closed(down());
      return;
    }
  }
  /// False when the link is down for good.
  bool pass_on(Letter& letter) {
    if (letter.lane == peer::Lane{}) return come_back();
    for (;;) {
      const auto fate = network_.judge(peer_.host, letter.lane, letter.message);
      if (fate == LoopbackNetwork::Fate::deliver || fate == LoopbackNetwork::Fate::cut_after)
        events_.message(letter.lane, std::move(letter.message));
      if (fate == LoopbackNetwork::Fate::deliver) return true;
      if (fate != LoopbackNetwork::Fate::down) network_.cut();
      if (!come_back()) return false;
      if (fate == LoopbackNetwork::Fate::cut_after) return true;
    }
  }
  bool come_back() {
    if (window() == Milliseconds(0) || (gone_ && dialled_)) return false;
    // It may be back already.
    if (!gone_ && network_.await_heal([] { return false; })) return true;
    events_.stalled(down());
    const auto lost = std::chrono::steady_clock::now();
    const auto may_wait = [&] {
      return !closed_here_ && !(gone_ && dialled_) && std::chrono::steady_clock::now() < lost + window();
    };
    constexpr std::chrono::milliseconds kLook{1};
    while (network_.await_heal(may_wait) && gone_ && may_wait()) std::this_thread::sleep_for(kLook);
    if (!may_wait()) return false;
    events_.stalled(std::nullopt);
    return true;
  }
  Error down() const { return {ErrorCode::unreachable, "the link to " + peer_.host + " is down", ""}; }

  LoopbackNetwork& network_;
  const std::string self_;
  const peer::PeerIdentity peer_;
  const std::shared_ptr<BulkPipe> bulk_;
  std::weak_ptr<LoopbackEnd> other_;
  BoundedQueue<std::optional<Letter>> inbox_{1'000'000};
  peer::SessionEvents events_;
  std::atomic<bool> closed_here_ = false;
  const bool dialled_;
  std::atomic<Milliseconds> window_{Milliseconds(0)};
  std::atomic<bool> gone_ = false;
  std::jthread thread_;
};

namespace {

class LoopbackSession : public peer::Session {
 public:
  explicit LoopbackSession(std::shared_ptr<LoopbackEnd> end) : end_(std::move(end)) {}
  ~LoopbackSession() override {
    end_->close();
    end_->stop();
  }
  const peer::PeerIdentity& peer() const override { return end_->peer(); }
  void start(peer::SessionEvents events) override { end_->start(std::move(events)); }
  void send(peer::Lane lane, ByteBuffer message) override { end_->send(lane, std::move(message)); }
  peer::BulkSender& bulk_sender() override { return end_->bulk(); }
  peer::BulkReceiver& bulk_receiver() override { return end_->bulk(); }
  std::chrono::nanoseconds round_trip() const override { return {}; }
  void set_reconnect_window(Milliseconds window) override { end_->set_reconnect_window(window); }
  void close() override { end_->close(); }

 private:
  const std::shared_ptr<LoopbackEnd> end_;
};

}  // namespace

class LoopbackDialer : public peer::Dialer {
 public:
  LoopbackDialer(LoopbackNetwork& network, std::string host) : network_(network), host_(std::move(host)) {}
  Result<std::unique_ptr<peer::Session>> dial(const std::string& host) override {
    return network_.connect(host_, host);
  }

 private:
  LoopbackNetwork& network_;
  const std::string host_;
};

void LoopbackNetwork::listen(const std::string& host, peer::AcceptHandler accept) {
  const std::lock_guard lock(mutex_);
  listeners_[host] = std::move(accept);
}

void LoopbackNetwork::silence(const std::string& host) {
  Ends broken;
  std::unique_lock lock(mutex_);
  listeners_.erase(host);
  broken = break_all(host);
  changed_.wait(lock, [&] { return accepting_[host] == 0; });
}

std::unique_ptr<peer::Dialer> LoopbackNetwork::dialer(const std::string& host) {
  return std::make_unique<LoopbackDialer>(*this, host);
}

void LoopbackNetwork::set_judge(Judge judge) {
  const std::lock_guard lock(mutex_);
  judge_ = std::move(judge);
}

void LoopbackNetwork::cut() {
  // Let go of only after the lock: an end that nobody else holds any more waits for its thread.
  Ends broken;
  const std::lock_guard lock(mutex_);
  cut_ = true;
  // Before anybody can heal it: what is opened after that must not break.
  broken = break_all();
  changed_.notify_all();
}

void LoopbackNetwork::await_cut() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return cut_; });
}

void LoopbackNetwork::heal() {
  const std::lock_guard lock(mutex_);
  cut_ = false;
  changed_.notify_all();
}

bool LoopbackNetwork::await_heal(const std::function<bool()>& may_wait) {
  constexpr std::chrono::milliseconds kLook{5};  // what else ends the wait has no signal
  std::unique_lock lock(mutex_);
  while (cut_) {
    if (!may_wait()) return false;
    changed_.wait_for(lock, kLook);
  }
  return true;
}

Result<std::unique_ptr<peer::Session>> LoopbackNetwork::connect(const std::string& from,
                                                                const std::string& to) {
  peer::AcceptHandler accept;
  auto bulk = std::make_shared<BulkPipe>(
      [this](const std::atomic<bool>& closed) { (void)await_heal([&] { return !closed; }); });
  auto here = std::make_shared<LoopbackEnd>(*this, from, to, bulk, true, features_, certificates_end_);
  auto there = std::make_shared<LoopbackEnd>(*this, to, from, bulk, false, features_, certificates_end_);
  here->join(there);
  there->join(here);
  {
    const std::lock_guard lock(mutex_);
    const auto listener = listeners_.find(to);
    if (cut_ || listener == listeners_.end()) {
      return fail(ErrorCode::unreachable, to + " does not answer", "start migrated there");
    }
    accept = listener->second;
    ++accepting_[to];
    std::erase_if(ends_, [](const auto& entry) { return entry.second.expired(); });
    ends_.push_back({{from, to}, here});
    ends_.push_back({{from, to}, there});
  }
  accept(std::make_unique<LoopbackSession>(there));
  {
    const std::lock_guard lock(mutex_);
    --accepting_[to];
    changed_.notify_all();
  }
  return std::make_unique<LoopbackSession>(here);
}

LoopbackNetwork::Fate LoopbackNetwork::judge(const std::string& from, peer::Lane lane, ByteView message) {
  Judge judge;
  {
    const std::lock_guard lock(mutex_);
    if (cut_) return Fate::down;
    judge = judge_;
  }
  return judge ? judge(from, lane, message) : Fate::deliver;
}

LoopbackNetwork::Ends LoopbackNetwork::break_all(const std::string& only_of) {
  Ends broken;
  for (const auto& [hosts, weak] : ends_) {
    auto end = weak.lock();
    if (!end) continue;
    if (only_of.empty() || hosts.contains(only_of)) end->break_link(!only_of.empty());
    broken.push_back(std::move(end));
  }
  return broken;
}

}  // namespace vmigrate::migration
