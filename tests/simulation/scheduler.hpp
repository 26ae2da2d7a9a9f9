#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/context/fiber.hpp>

#include "base/clock.hpp"
#include "base/threads.hpp"
#include "base/units.hpp"
#include "random.hpp"

namespace vmigrate::simulation {

/// Thrown where a thread of a killed daemon stands, so that its stack is taken down. What destructors then
/// ask of the edges has no effect: the daemon was gone before.
struct Killed {};

/// One life of a daemon: its threads die together.
class Life {
 public:
  explicit Life(std::string name) : name_(std::move(name)) {}
  const std::string& name() const { return name_; }
  bool is_over() const { return over_; }
  /// Its threads do nothing until then (SIGSTOP).
  void freeze(MonotonicTime until) { frozen_until_ = until; }
  MonotonicTime frozen_until() const { return frozen_until_; }

 private:
  friend class Scheduler;
  const std::string name_;
  bool over_ = false;
  MonotonicTime frozen_until_;
};

/// Runs all threads of all daemons as fibers on one thread of the system, one at a time, on a clock of its
/// own. Whatever can go on now is chosen from by the seed, and the clock moves on when nothing can: a
/// schedule depends on nothing but its seed.
class Scheduler : public Clock {
 public:
  explicit Scheduler(std::uint64_t seed);
  ~Scheduler() override;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  class Fiber;
  using FiberHandle = std::shared_ptr<Fiber>;

  MonotonicTime now() const override { return now_; }
  std::chrono::system_clock::time_point wall() const override;
  Random& random() { return random_; }

  FiberHandle start(std::shared_ptr<Life> life, std::string name, std::function<void()> work);
  /// `what` happens so much later, on no fiber: it must not wait.
  void after(std::chrono::microseconds delay, std::function<void()> what);
  /// A while as things take it: mostly a moment, and in troubled times now and then a long one.
  std::chrono::microseconds some_time();
  void set_troubled(bool troubled) { troubled_ = troubled; }

  /// For fibers: lets others go on for so long. Elsewhere, and on the way down: nothing.
  void pause(std::chrono::microseconds delay);
  /// Takes all threads of the life down, where they stand. If one of them is what runs now: once it waits.
  void kill(const std::shared_ptr<Life>& life);
  bool is_frozen(const std::shared_ptr<Life>& life) const { return life->frozen_until() > now_; }
  /// Threads that have not come to their end.
  std::size_t threads_of(const std::shared_ptr<Life>& life) const;
  bool has_events() const { return !events_.empty(); }
  /// Whether what runs now is a thread that is being taken down, or of a life that is over.
  bool is_going_down() const;
  /// Not on the way down, nor on no fiber.
  bool may_wait() const;
  /// For fibers: where a kill of their own life takes effect.
  void die_if_killed();

  /// Goes on until nothing is left to happen, `enough` says so, or the clock says `limit`.
  void run(MonotonicTime limit, const std::function<bool()>& enough);

  /// The trace: the same seed gives the same sum, or the simulation is not deterministic.
  void trace(std::string_view what);
  /// The same of what is only worth putting together when somebody listens.
  template <class Words>
  requires std::is_invocable_v<Words>
  void trace(Words words) {
    mix_in_the_time();
    if (listener_) listener_(words());
  }
  std::uint64_t trace_sum() const { return trace_sum_; }
  void set_listener(std::function<void(std::string_view)> listener) { listener_ = std::move(listener); }

  // For conditions and threads.
  void wait(const void* condition, MonotonicTime deadline);
  void wake(const void* condition);
  void join(const FiberHandle& fiber);

 private:
  void mix_in_the_time();
  struct Event {
    MonotonicTime at;
    std::uint64_t number;
    std::function<void()> what;
  };

  void suspend(const void* condition, MonotonicTime deadline);
  void step_down(Fiber& fiber);
  void resume(Fiber& fiber);
  bool can_go_on(const Fiber& fiber) const;
  std::optional<MonotonicTime> next_time() const;
  void go_on_with_one();

  Random random_;
  MonotonicTime now_;
  bool troubled_ = false;
  std::vector<FiberHandle> fibers_;
  std::vector<Event> events_;
  std::uint64_t event_number_ = 0;
  Fiber* current_ = nullptr;
  std::uint64_t trace_sum_ = 0xcbf29ce484222325;
  std::function<void(std::string_view)> listener_;
};

/// The threads of one life of a daemon.
class SimulatedThreads : public Threads {
 public:
  SimulatedThreads(Scheduler& scheduler, std::shared_ptr<Life> life)
      : scheduler_(scheduler), life_(std::move(life)) {}
  std::unique_ptr<Thread> start(std::string name, std::function<void()> work) override;
  std::unique_ptr<Condition> make_condition() override;

 private:
  Scheduler& scheduler_;
  const std::shared_ptr<Life> life_;
};

}  // namespace vmigrate::simulation
