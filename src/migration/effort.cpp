#include "migration/effort.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace vmigrate::migration {
namespace {

// Above this share of the time it is what holds the stream back.
constexpr double kFull = 0.5;
// Above this share the queue before the network neither fills nor empties: what is put there is the network's
// rate.
constexpr double kAllTheTime = 0.8;
// Bytes a second. With light effort one of this decade's processors packs some 0.9 GB/s; two pack 0.5 with
// medium and 0.4 with strong. Of that almost a half to a quarter go on the wire.
constexpr double kFastEnough = 400e6;  // soon faster than QEMU: the work would only cost
// Of the network, for each worker, up to which strong effort keeps it busy, and above which medium is too
// much to begin with: it shares its processor with the guest, QEMU and encryption.
constexpr double kForStrongPerWorker = 30e6;
constexpr double kForLightPerWorker = 38e6;
// What becomes no smaller than this will not with more work.
constexpr double kWorthIt = 1.1;
// A share of the time above which packing has no room for more work, and what the next higher effort costs of
// it: zstd has several threads where LZ4 has one, but on a small host they share its processors with the
// guest and with encryption.
constexpr double kRoom = 0.8;
constexpr std::array<double, kEfforts> kNextCosts{1, 2.5, 1.3, 1};
// Memory is easy here and hard there: a busy while is remembered for about a second, and work is judged by
// half of one.
constexpr double kRemembered = 0.9;
constexpr double kRecent = 0.85;
constexpr double kCapacityRemembered = 0.7;
constexpr int kLooksToJudge = 5;
// How much more of the batches a full network has to take with the next lower effort before that is tried:
// all of this is guessed. Medium packs only a fifth faster than strong, makes 4 to 8 % more of a Debian
// guest, and forgets what zstd's window has seen.
constexpr std::array<double, kEfforts> kClearly{0, 1.2, 1.5, 2.5};
// By how much more has to be put on the wire for half a second than it took before, to be more than queues
// that fill.
constexpr double kFaster = 1.2;

// How small a Linux guest's memory becomes with an effort, by what the next higher makes of it.
constexpr std::array<double, kEfforts> kOfNextHigher{0, 0.66, 0.92, 1};
constexpr std::chrono::milliseconds kFirstPatience{1'000};
constexpr std::chrono::milliseconds kLongestPatience{30'000};

std::size_t index(Effort effort) {
  return static_cast<std::size_t>(effort);
}

}  // namespace

Effort EffortChooser::update(const Load& load, MonotonicTime now) {
  if (load.network > kAllTheTime) learn_capacity(load.wire);
  busy_ = std::max(load.packing, busy_ * kRemembered);
  // What was seen while the workers got going tells nothing.
  if (std::exchange(settling_, false)) return current_;
  remember(load);
  if (load.network <= kFull && looks_ >= kLooksToJudge && recent_.wire > capacity_ * kFaster)
    capacity_ = std::numeric_limits<double>::infinity();  // more than was seen, nobody knows how much
  const auto before = current_;
  if (is_too_much() || is_in_vain(load)) {
    step_down(now);
  } else if (load.packing > kFull && current_ != Effort::none) {
    // Neither more nor, for now, less.
  } else if (const auto next = wanted(load); now >= experience_[index(next)].not_before) {
    current_ = next;
  }
  settling_ = current_ != before;
  if (settling_) looks_ = 0;
  return current_;
}

void EffortChooser::learn_capacity(double wire) {
  const bool known = capacity_ > 0 && std::isfinite(capacity_);
  capacity_ = known ? capacity_ * kCapacityRemembered + wire * (1 - kCapacityRemembered) : wire;
}

void EffortChooser::remember(const Load& load) {
  const double old = looks_++ == 0 ? 0 : kRecent;
  const auto mix = [&](double& value, double fresh) { value = value * old + fresh * (1 - old); };
  mix(recent_.packing, load.packing);
  mix(recent_.batches, load.batches);
  mix(recent_.wire, load.wire);
}

/// Whether packing is what holds the stream back, and a full network would with the next lower effort take
/// more of the batches than it does now.
bool EffortChooser::is_too_much() const {
  if (current_ == Effort::none || looks_ < kLooksToJudge || recent_.packing <= kFull) return false;
  const double reduction = recent_.batches / std::max(recent_.wire, 1.0);
  const double below = std::max(1.0, reduction * kOfNextHigher[index(current_) - 1]);
  return recent_.batches * kClearly[index(current_)] < capacity_ * below;
}

bool EffortChooser::is_slow(double network) const {
  return network <= kForStrongPerWorker * workers_;
}

Effort EffortChooser::wanted(const Load& load) const {
  if (current_ == Effort::none) {
    if (load.network <= kFull || load.wire >= kFastEnough) return current_;
    // What was put there while it was not waited for has filled the queue.
    const double network = load.wire * load.network;
    if (network > kForLightPerWorker * workers_) return Effort::light;
    return is_slow(network) ? Effort::strong : Effort::medium;
  }
  const bool waits = load.putting > kFull;  // a source that has little to say tells nothing
  const bool worth_it = load.batches > load.wire * kWorthIt;
  const bool room = busy_ * kNextCosts[index(current_)] < kRoom;
  if (!waits || !worth_it || !room || current_ == Effort::strong) return current_;
  const auto next = static_cast<Effort>(index(current_) + 1);
  return next == Effort::strong && !is_slow(load.wire) ? current_ : next;
}

/// Whether nothing becomes smaller by all that work. Less of it is not left for that: what cannot be packed
/// costs it little, and among such memory lies other that can. (A guest of 512 MiB, 384 of them random, took
/// 7 % longer over 300 Mbit/s when it was, and no less of the processors.)
bool EffortChooser::is_in_vain(const Load& load) const {
  // A source that has little to say tells nothing.
  if (load.putting <= kFull) return false;
  return current_ == Effort::strong && looks_ >= kLooksToJudge && recent_.batches <= recent_.wire * kWorthIt;
}

void EffortChooser::step_down(MonotonicTime now) {
  auto& here = experience_[index(current_)];
  here.patience = std::clamp(here.patience * 2, kFirstPatience, kLongestPatience);
  here.not_before = now + here.patience;
  current_ = static_cast<Effort>(index(current_) - 1);
}

}  // namespace vmigrate::migration
