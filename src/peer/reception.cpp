#include "peer/reception.hpp"

#include <utility>

#include "peer/frame.hpp"
#include "peer/membership.hpp"

namespace vmigrate::peer {
namespace {

using Clock = std::chrono::steady_clock;

tl::unexpected<Error> stranger() {
  return fail(ErrorCode::not_allowed, "the session to be joined is another's, or was joined so before");
}

}  // namespace

Reception::Reception(std::string host, int bulk_connections, Patience patience)
    : host_(std::move(host)),
      patience_(patience),
      session_(random_secret()),
      secret_(random_secret()),
      seats_(static_cast<std::size_t>(bulk_connections) + 1) {
}

void Reception::attach(int connection, std::function<void()> arrived) {
  const std::lock_guard lock(mutex_);
  Seat& seat = seats_.at(static_cast<std::size_t>(connection));
  seat.arrived = std::move(arrived);
  if (seat.waiting) seat.arrived();
}

void Reception::detach(int connection) {
  const std::lock_guard lock(mutex_);
  seats_.at(static_cast<std::size_t>(connection)).arrived = nullptr;
}

Result<> Reception::admit(const wire::Join& join, TlsStream& stream, const std::string& host) {
  if (host != host_ || join.connection() >= seats_.size() || !is_proved(join, secret_, stream))
    return stranger();
  const std::lock_guard lock(mutex_);
  Seat& seat = seats_[join.connection()];
  // One that was overtaken by a later one must not take its place.
  if (!deadline(std::nullopt) || join.attempt() <= seat.attempts) return stranger();
  seat.attempts = join.attempt();
  seat.waiting.emplace(std::move(stream), join.received());
  if (seat.arrived) seat.arrived();
  changed_.notify_all();
  return {};
}

Result<Joined> Reception::join(int connection, std::uint64_t received, std::optional<MonotonicTime> lost) {
  auto joined = await(seats_.at(static_cast<std::size_t>(connection)), lost);
  if (!joined) return joined;
  wire::OpeningAnswer answer;
  answer.mutable_joined()->set_received(received);
  if (auto written = write_answer(joined->stream, answer, Clock::now() + patience_.redial); !written)
    return fail(written.error());
  return joined;
}

Result<Joined> Reception::await(Seat& seat, std::optional<MonotonicTime> lost) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (seat.waiting) {
      auto joined = std::move(*seat.waiting);
      seat.waiting.reset();
      return joined;
    }
    const auto until = deadline(lost);
    if (!until) return fail(ErrorCode::unreachable, "the session is closed");
    if (Clock::now() >= *until) return fail(ErrorCode::unreachable, "nobody came back");
    if (*until == MonotonicTime::max())
      changed_.wait(lock);
    else
      changed_.wait_until(lock, *until);
  }
}

}  // namespace vmigrate::peer
