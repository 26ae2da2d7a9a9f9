#include "scheduler.hpp"

#include <algorithm>

#include <boost/context/pooled_fixedsize_stack.hpp>

namespace vmigrate::simulation {
namespace {

namespace context = boost::context;
using std::chrono::microseconds;

constexpr std::size_t kStackSize = std::size_t{256} * 1024;

context::pooled_fixedsize_stack& stacks() {
  // Used up and given back a dozen times in every schedule.
  static context::pooled_fixedsize_stack pool(kStackSize);
  return pool;
}

}  // namespace

class Scheduler::Fiber {
 public:
  Fiber(std::shared_ptr<Life> owner, std::string called, std::function<void()> to_do)
      : life(std::move(owner)), name(std::move(called)), work(std::move(to_do)) {}

  const std::shared_ptr<Life> life;
  const std::string name;
  std::function<void()> work;
  context::fiber self;
  context::fiber resumer;
  bool begun = false;
  bool finished = false;
  bool killed = false;
  const void* waits_for = nullptr;
  std::optional<MonotonicTime> deadline;  // of the wait; ready when there is neither
};

Scheduler::Scheduler(std::uint64_t seed) : random_(seed), now_(MonotonicTime() + std::chrono::hours(1)) {
}

Scheduler::~Scheduler() {
  for (const auto& fiber : std::vector(fibers_)) step_down(*fiber);
}

std::chrono::system_clock::time_point Scheduler::wall() const {
  return std::chrono::system_clock::time_point(
      std::chrono::duration_cast<std::chrono::system_clock::duration>(now_.time_since_epoch()));
}

Scheduler::FiberHandle Scheduler::start(std::shared_ptr<Life> life, std::string name,
                                        std::function<void()> work) {
  auto fiber = std::make_shared<Fiber>(std::move(life), std::move(name), std::move(work));
  fibers_.push_back(fiber);
  return fiber;
}

void Scheduler::after(microseconds delay, std::function<void()> what) {
  events_.push_back({now_ + delay, event_number_++, std::move(what)});
}

microseconds Scheduler::some_time() {
  if (!troubled_) return microseconds(random_.below(3'000));
  if (random_.one_in(200)) return microseconds(random_.below(20'000'000));
  if (random_.one_in(20)) return microseconds(random_.below(1'000'000));
  return microseconds(random_.below(3'000));
}

bool Scheduler::is_going_down() const {
  return current_ != nullptr && (current_->killed || current_->life->is_over());
}

bool Scheduler::may_wait() const {
  return current_ != nullptr && !current_->killed;
}

void Scheduler::die_if_killed() {
  if (current_ == nullptr || current_->killed || !current_->life->is_over()) return;
  current_->killed = true;
  throw Killed();
}

void Scheduler::pause(microseconds delay) {
  if (current_ == nullptr || current_->killed) return;
  wait(this, now_ + delay);
}

void Scheduler::wait(const void* condition, MonotonicTime deadline) {
  Fiber* const self = current_;
  if (self == nullptr || self->killed) return;
  die_if_killed();
  suspend(condition, deadline);
  die_if_killed();
}

void Scheduler::suspend(const void* condition, MonotonicTime deadline) {
  Fiber* const self = current_;
  self->waits_for = condition;
  self->deadline = deadline;
  self->resumer = std::move(self->resumer).resume();
  self->waits_for = nullptr;
  self->deadline.reset();
}

void Scheduler::wake(const void* condition) {
  for (const auto& fiber : fibers_) {
    if (fiber->waits_for == condition) {
      fiber->waits_for = nullptr;
      fiber->deadline.reset();
    }
  }
}

void Scheduler::join(const FiberHandle& fiber) {
  while (!fiber->finished) {
    // Joined in destructors, which cannot be left by an exception: whoever is killed meanwhile goes on to the
    // next edge, and is taken down there.
    if (current_ == nullptr || is_going_down()) return step_down(*fiber);
    suspend(fiber.get(), MonotonicTime::max());
  }
}

/// Ends a fiber whose life is over, or that nobody will wait for any more.
void Scheduler::step_down(Fiber& fiber) {
  if (fiber.finished || &fiber == current_) return;
  if (!fiber.begun) {
    fiber.finished = true;
    fiber.work = nullptr;
    return;
  }
  fiber.life->over_ = true;
  resume(fiber);
}

void Scheduler::resume(Fiber& fiber) {
  Fiber* const interrupted = std::exchange(current_, &fiber);
  if (!std::exchange(fiber.begun, true)) {
    fiber.self = context::fiber(std::allocator_arg, stacks(), [&fiber](context::fiber&& resumer) {
      fiber.resumer = std::move(resumer);
      try {
        fiber.work();
      } catch (const Killed&) {
      }
      fiber.killed = true;  // nothing may wait in what the work's own destructors do
      fiber.work = nullptr;
      fiber.finished = true;
      return std::move(fiber.resumer);
    });
  }
  fiber.self = std::move(fiber.self).resume();
  current_ = interrupted;
  if (fiber.finished) wake(&fiber);
}

void Scheduler::kill(const std::shared_ptr<Life>& life) {
  life->over_ = true;
  for (const auto& fiber : std::vector(fibers_)) {
    if (fiber->life == life) step_down(*fiber);
  }
  std::erase_if(fibers_, [&](const FiberHandle& fiber) { return fiber->finished; });
}

std::size_t Scheduler::threads_of(const std::shared_ptr<Life>& life) const {
  return static_cast<std::size_t>(
      std::count_if(fibers_.begin(), fibers_.end(),
                    [&](const FiberHandle& fiber) { return fiber->life == life && !fiber->finished; }));
}

bool Scheduler::can_go_on(const Fiber& fiber) const {
  if (fiber.finished || is_frozen(fiber.life)) return false;
  if (fiber.deadline) return *fiber.deadline <= now_;
  return fiber.waits_for == nullptr;
}

std::optional<MonotonicTime> Scheduler::next_time() const {
  std::optional<MonotonicTime> next;
  const auto consider = [&](MonotonicTime time) {
    if (time != MonotonicTime::max() && (!next || time < *next)) next = time;
  };
  for (const auto& fiber : fibers_) {
    if (can_go_on(*fiber)) return now_;
    if (fiber->finished || (fiber->waits_for != nullptr && !fiber->deadline)) continue;
    consider(std::max(fiber->deadline.value_or(now_), fiber->life->frozen_until()));
  }
  for (const auto& event : events_) consider(event.at);
  return next;
}

void Scheduler::go_on_with_one() {
  std::vector<FiberHandle> fibers;
  std::copy_if(fibers_.begin(), fibers_.end(), std::back_inserter(fibers),
               [this](const FiberHandle& fiber) { return can_go_on(*fiber); });
  std::vector<std::size_t> events;
  for (std::size_t i = 0; i < events_.size(); ++i) {
    if (events_[i].at <= now_) events.push_back(i);
  }
  const auto choice = random_.below(fibers.size() + events.size());
  if (choice < fibers.size()) {
    trace(fibers[choice]->name);
    resume(*fibers[choice]);
  } else {
    const auto place = events_.begin() + static_cast<std::ptrdiff_t>(events[choice - fibers.size()]);
    const auto what = std::move(place->what);
    events_.erase(place);
    what();
  }
  std::erase_if(fibers_, [](const FiberHandle& fiber) { return fiber->finished; });
}

void Scheduler::run(MonotonicTime limit, const std::function<bool()>& enough) {
  while (!enough()) {
    const auto next = next_time();
    if (!next || *next > limit) {
      now_ = std::max(now_, limit);
      return;
    }
    now_ = std::max(now_, *next);
    go_on_with_one();
  }
}

void Scheduler::mix_in_the_time() {
  trace_sum_ = (trace_sum_ ^ static_cast<std::uint64_t>(now_.time_since_epoch().count())) * 0x100000001b3;
}

void Scheduler::trace(std::string_view what) {
  mix_in_the_time();
  for (const char letter : what)
    trace_sum_ = (trace_sum_ ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  if (listener_) listener_(what);
}

namespace {

class SimulatedThread : public Thread {
 public:
  SimulatedThread(Scheduler& scheduler, Scheduler::FiberHandle fiber)
      : scheduler_(scheduler), fiber_(std::move(fiber)) {}
  SimulatedThread(const SimulatedThread&) = delete;
  SimulatedThread& operator=(const SimulatedThread&) = delete;
  ~SimulatedThread() override { scheduler_.join(fiber_); }

 private:
  Scheduler& scheduler_;
  const Scheduler::FiberHandle fiber_;
};

class SimulatedCondition : public Condition {
 public:
  explicit SimulatedCondition(Scheduler& scheduler) : scheduler_(scheduler) {}
  bool wait_until(std::unique_lock<std::mutex>& lock, MonotonicTime deadline) override {
    if (scheduler_.now() >= deadline || !scheduler_.may_wait()) return false;
    lock.unlock();
    scheduler_.wait(this, deadline);
    lock.lock();
    return scheduler_.now() < deadline;
  }
  void notify_all() override { scheduler_.wake(this); }
  MonotonicTime now() const override { return scheduler_.now(); }

 private:
  Scheduler& scheduler_;
};

}  // namespace

std::unique_ptr<Thread> SimulatedThreads::start(std::string name, std::function<void()> work) {
  return std::make_unique<SimulatedThread>(
      scheduler_, scheduler_.start(life_, life_->name() + " " + name, std::move(work)));
}

std::unique_ptr<Condition> SimulatedThreads::make_condition() {
  return std::make_unique<SimulatedCondition>(scheduler_);
}

}  // namespace vmigrate::simulation
