#include "daemon/failpoint.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>

#include "handover/journal.hpp"

namespace vmigrate::daemon {
namespace {

constexpr std::array<std::string_view, std::variant_size_v<migration::ControlMessage>> kMessages{
    "offer",     "answer", "abort",     "finish", "verdict", "ask",
    "confirmed", "ping",   "ask heads", "heads",  "taken"};
static_assert(!kMessages.back().empty());
constexpr std::array<std::string_view, 5> kEvents{"stream connected", "finish requested", "ended", "prepared",
                                                  "failed"};
constexpr std::array<std::string_view, 2> kDirections{"sending ", "receiving "};

bool is_recorded(const std::string& state) {
  handover::Record record;
  record.state = state;
  return handover::source_state(record) || handover::destination_state(record);
}

bool contains(const auto& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// A misspelt point would be a test that never fails.
bool exists(const std::string& point) {
  if (is_recorded(point) || contains(kEvents, point)) return true;
  return std::any_of(kDirections.begin(), kDirections.end(), [&](std::string_view direction) {
    return point.starts_with(direction) &&
           contains(kMessages, std::string_view(point).substr(direction.size()));
  });
}

/// "sending byte 12" is byte 12 of the point "sending byte"; 0 if it is nothing of the kind.
std::uint64_t take_byte(std::string& point) {
  for (const auto direction : kDirections) {
    const auto prefix = std::string(direction) + "byte ";
    if (!point.starts_with(prefix)) continue;
    std::uint64_t byte = 0;
    const auto* end = point.data() + point.size();
    if (const auto read = std::from_chars(point.data() + prefix.size(), end, byte); read.ptr != end) return 0;
    point.resize(prefix.size() - 1);
    return byte;
  }
  return 0;
}

}  // namespace

Failpoint::Failpoint(int signal, bool after, std::string point, std::uint64_t byte)
    : signal_(signal), after_(after), point_(std::move(point)), byte_(byte) {
}

Result<std::shared_ptr<Failpoint>> Failpoint::parse(const std::string& text) {
  const auto first = text.find(':');
  const auto second = text.find(':', first + 1);
  if (second != std::string::npos) {
    const auto action = text.substr(0, first);
    const auto when = text.substr(first + 1, second - first - 1);
    auto point = text.substr(second + 1);
    const auto byte = take_byte(point);
    if ((action == "kill" || action == "stop") && (when == "before" || when == "after") &&
        (byte != 0 || exists(point))) {
      return std::make_shared<Failpoint>(action == "kill" ? SIGKILL : SIGSTOP, when == "after",
                                         std::move(point), byte);
    }
  }
  return fail(ErrorCode::usage, "VMIGRATE_FAILPOINT is '" + text + "'",
              "write it like kill:after:relinquished, or leave it away");
}

void Failpoint::reach() {
  // Once only: what goes on after a stop may come by again.
  if (!reached_.exchange(true)) ::raise(signal_);
}

std::string_view name_of(const migration::ControlMessage& message) {
  return kMessages[message.index()];
}

}  // namespace vmigrate::daemon
