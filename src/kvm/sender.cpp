#include "kvm/sender.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "kvm/board_state.hpp"
#include "kvm/compatibility.hpp"
#include "kvm/state_codec.hpp"
#include "kvm/stream_names.hpp"
#include "kvm/vcpu_state.hpp"

namespace vmigrate::kvm {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTellEvery{100};
// A round of fewer pages tells nothing about how fast pages go.
constexpr std::uint64_t kPagesThatTell = 64;

pacing::SwitchoverTerms terms_of(const SendOptions& options) {
  return {options.max_pause, true, {}};
}

/// For any answer but the one that was hoped for.
tl::unexpected<Error> gave_up(const Answer& answer) {
  if (answer.kind == Answer::Kind::accepted)
    return fail(ErrorCode::failed, "the destination answers out of turn");
  return fail(ErrorCode::failed,
              fmt::format("the destination gave up: {}",
                          answer.reason.empty() ? std::string("it does not say why") : answer.reason));
}

std::chrono::nanoseconds since(MonotonicTime begin) {
  return SteadyClock::now() - begin;
}

}  // namespace

Sender::Sender(MachineParts& machine, int socket, const SendOptions& options,
               const Cancellation& cancellation)
    : machine_(machine),
      options_(options),
      connection_(socket, cancellation),
      answers_(connection_),
      output_(connection_, options.bandwidth),
      needs_(machine.needs()),
      slowed_(*machine.vmm),
      convergence_(options.max_slowdown) {
}

Result<SendReport> Sender::run() {
  if (auto movable = check_movable(needs_, machine_.cpuid); !movable) return fail(movable.error());
  if (auto agreed = agree(); !agreed) return fail(agreed.error());
  if (auto begun = begin_tracking(); !begun) return fail(begun.error());
  // From here on whatever fails leaves through the destructors: the guest goes on, dirty logging ends.
  if (auto copied = copy_until_little_is_left(); !copied) return fail(copied.error());
  PausedGuest guest(*machine_.vmm);
  if (auto copied = stop_and_copy(guest); !copied) return fail(copied.error());
  if (auto loaded = await_loaded(); !loaded) return fail(loaded.error());
  guest.keep();
  machine_.tracker_left = std::move(tracker_);
  report_.sent = Bytes{output_.sent()};
  return report_;
}

Result<> Sender::agree() {
  output_.composer().head(kMachineName);
  output_.composer().own_section(kNeedsSection, kSectionVersion, encode(needs_));
  if (auto sent = output_.send(); !sent) return sent;
  const auto answer = answers_.next(SteadyClock::now() + options_.patience);
  if (!answer) return fail(answer.error());
  if (answer->kind == Answer::Kind::refused) return fail(ErrorCode::refused, answer->reason);
  if (answer->kind != Answer::Kind::accepted)
    return fail(ErrorCode::failed, "the destination ended before it began");
  // Nothing more is to come before all is sent, unless it gives up: then it need not read either.
  connection_.on_incoming([this] { return hear_of_refusal(); });
  return {};
}

Result<> Sender::begin_tracking() {
  std::vector<Slot*> sent;
  std::vector<stream::RamBlock> blocks;
  for (const auto& shape : needs_.slots) {
    const auto slot =
        std::find_if(machine_.slots.all.begin(), machine_.slots.all.end(),
                     [&](const auto& candidate) { return candidate->memory.name == shape.name; });
    sent.push_back(slot->get());
    blocks.push_back({shape.name, shape.size});
  }
  copier_.emplace(sent, machine_.slots, output_);
  auto tracker = machine_.start_tracking();
  if (!tracker) return fail(tracker.error());
  tracker_ = std::move(*tracker);
  for (auto* slot : sent) slot->pending.set_all();
  output_.composer().ram_begin(blocks);
  return {};
}

Result<> Sender::copy_until_little_is_left() {
  for (;;) {
    report_progress(false);
    if (auto copied = copy_round(); !copied) return copied;
    if (auto heard = hear_of_refusal(); !heard) return heard;
    if (auto collected = tracker_->collect(); !collected) return collected;
    const auto next = decide();
    if (!next) return fail(next.error());
    if (*next == Next::stop) return {};
  }
}

Result<> Sender::copy_round() {
  const auto begin = SteadyClock::now();
  const auto pages = copier_->pages();
  const auto zero_pages = copier_->zero_pages();
  auto told = begin;
  const auto tell = [&] {
    if (since(told) < kTellEvery) return;
    told = SteadyClock::now();
    slowed_.slow_down(machine_.wishes.slowdown());
    report_progress(false);
  };
  if (auto copied = copier_->copy_live(*tracker_, tell); !copied) return copied;
  const Round round{copier_->pages() - pages, copier_->zero_pages() - zero_pages, since(begin)};
  note_rate(round.pages, round.zero_pages, round.duration);
  report_.rounds.push_back(round);
  return {};
}

// Zero pages cost their scan only, so a round full of them says little about what dirty pages will take.
void Sender::note_rate(std::uint64_t pages, std::uint64_t zero_pages, std::chrono::nanoseconds duration) {
  const bool tells = pages >= kPagesThatTell;
  if (!tells && rate_.bytes_per_second != 0) return;
  const auto seconds = std::max(std::chrono::duration<double>(duration).count(), 1e-9);
  const auto bytes = static_cast<double>((tells ? pages : pages + zero_pages) * kPageSize);
  rate_.bytes_per_second = static_cast<std::uint64_t>(std::max(bytes / seconds, 1.0));
}

Result<Sender::Next> Sender::decide() {
  const Bytes remaining{copier_->pending() * kPageSize};
  const auto terms = terms_of(options_);
  const auto limit = std::max(pacing::downtime_limit(round(), terms), machine_.wishes.pause());
  const auto expected = std::chrono::duration<double>(static_cast<double>(remaining.count) /
                                                      static_cast<double>(rate_.bytes_per_second));
  if (expected <= limit) return Next::stop;
  const auto verdict =
      convergence_.judge(round(), remaining, pacing::is_largest_limit(limit, terms), machine_.now());
  slowed_.slow_down(std::max(verdict.slowdown, machine_.wishes.slowdown()));
  if (!verdict.hopeless || options_.on_stall == OnStall::go_on) return Next::another_round;
  if (options_.on_stall == OnStall::pause) return Next::stop;
  return fail(ErrorCode::not_converging,
              fmt::format("the guest changes its memory faster than {} take it: {} are left after {} rounds",
                          to_string(rate_), to_string(remaining), report_.rounds.size()),
              "allow a longer pause, or that the guest is slowed, or use a faster link");
}

// The state comes first: to read it lets KVM write to guest memory (what it tells a guest about stolen time),
// and the last look at the dirty log must see that.
Result<> Sender::stop_and_copy(PausedGuest& guest) {
  const auto begin = SteadyClock::now();
  deadline_ = begin + options_.patience + machine_.wishes.pause();
  connection_.finish_by(deadline_);
  if (auto paused = guest.pause(); !paused) return paused;
  report_.stopping = since(begin);
  const auto stopped = SteadyClock::now();
  auto state = save_state();
  if (!state) return fail(state.error());
  if (auto collected = tracker_->collect(); !collected) return collected;
  report_.saving = since(stopped);

  const auto saved = SteadyClock::now();
  output_.lift_limit();
  report_progress(true);
  const auto pages = copier_->pages();
  const auto zero_pages = copier_->zero_pages();
  if (auto copied = copier_->copy_stopped(); !copied) return copied;
  if (auto sent = send_state(std::move(*state)); !sent) return sent;
  report_.last_pages = since(saved);
  report_.rounds.push_back(
      {copier_->pages() - pages, copier_->zero_pages() - zero_pages, report_.last_pages});
  return {};
}

Result<State> Sender::save_state() {
  State state;
  for (const int vcpu : machine_.description.vcpus) {
    auto saved = save_vcpu(vcpu, needs_);
    if (!saved) return fail(saved.error());
    state.vcpus.push_back(std::move(*saved));
  }
  auto board = save_board(machine_.description.vm, needs_);
  if (!board) return fail(board.error());
  state.board = std::move(*board);
  auto devices = machine_.vmm->save_devices();
  if (!devices) return fail(devices.error());
  if (devices->size() > kLargestDevices) {
    return fail(ErrorCode::failed,
                fmt::format("the devices' state has {}, and {} is the most",
                            to_string(Bytes{devices->size()}), to_string(Bytes{kLargestDevices})));
  }
  state.devices = std::move(*devices);
  return state;
}

Result<> Sender::send_state(State state) {
  state.stream_bytes = output_.sent();
  state.stream_digest = output_.digest();
  for (const auto& shape : needs_.slots) {
    const std::lock_guard lock(machine_.slots.mutex);
    const auto& all = machine_.slots.all;
    const bool gone = std::any_of(all.begin(), all.end(), [&](const auto& slot) {
      return slot->removed && slot->memory.name == shape.name;
    });
    if (gone) state.removed_slots.push_back(shape.name);
  }
  const auto encoded = encode(state);
  const auto digest = digest_of(encoded);
  ByteBuffer body(digest.begin(), digest.end());
  body.insert(body.end(), encoded.begin(), encoded.end());
  output_.composer().own_section(kStateSection, kSectionVersion, body);
  output_.composer().end();
  return output_.send();
}

Result<> Sender::hear_of_refusal() {
  const auto answer = answers_.next_if_there();
  if (!answer) return fail(answer.error());
  if (!*answer) return {};
  return gave_up(**answer);
}

Result<> Sender::await_loaded() {
  const auto begin = SteadyClock::now();
  const auto answer = answers_.next(deadline_);
  if (!answer) return fail(answer.error().in("waiting for the destination to load the VM"));
  report_.loading = since(begin);
  if (answer->kind == Answer::Kind::ended && answer->loaded) return {};
  return gave_up(*answer);
}

void Sender::report_progress(bool stopped) {
  machine_.vmm->progress({round(), Bytes{copier_->pending() * kPageSize}, rate_, stopped, slowed_.percent()});
}

}  // namespace vmigrate::kvm
