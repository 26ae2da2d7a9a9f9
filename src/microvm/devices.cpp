#include "microvm/devices.hpp"

#include <algorithm>
#include <cstring>

#include <sys/random.h>

namespace vmigrate::microvm {
namespace {

constexpr std::uint16_t kSerialData = 0x3f8;
constexpr std::uint16_t kSerialLineStatus = 0x3fd;
constexpr std::uint16_t kTick = 0x600;
constexpr std::uint16_t kRandom = 0x604;
constexpr std::uint16_t kEnd = 0x608;
constexpr std::uint32_t kSerialIsIdle = 0x60;
constexpr std::uint32_t kSerialHasInput = 0x01;
// A guest that writes without end must not take the host's memory.
constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kMostLines = 100'000;

constexpr std::byte kStateVersion{1};

std::uint32_t random_number() {
  std::uint32_t number = 0;
  (void)!::getrandom(&number, sizeof number, 0);
  return number;
}

}  // namespace

void Devices::read(std::uint16_t port, std::span<std::byte> data) {
  const std::uint32_t value = value_at(port);
  std::memcpy(data.data(), &value, std::min(data.size(), sizeof value));
}

std::uint32_t Devices::value_at(std::uint16_t port) {
  const std::lock_guard lock(mutex_);
  switch (port) {
    case kSerialData: {
      if (input_.empty()) return 0;
      const char first = input_.front();
      input_.erase(input_.begin());
      return static_cast<std::uint8_t>(first);
    }
    case kSerialLineStatus: return kSerialIsIdle | (input_.empty() ? 0 : kSerialHasInput);
    case kTick:
      return static_cast<std::uint32_t>(
          std::chrono::duration_cast<std::chrono::milliseconds>(ran(std::chrono::steady_clock::now()))
              .count());
    case kRandom: return random_number();
    default: return ~std::uint32_t{0};
  }
}

void Devices::write(std::uint16_t port, std::span<const std::byte> data) {
  const std::lock_guard lock(mutex_);
  if (port == kSerialData) write_serial(data.front());
  if (port == kEnd) ended_ = true;
  changed_.notify_all();
}

void Devices::write_serial(std::byte byte) {
  if (byte != std::byte{'\n'}) {
    if (line_.size() < kLongestLine) line_.push_back(static_cast<char>(byte));
    return;
  }
  if (lines_.size() < kMostLines) lines_.push_back(line_);
  line_.clear();
}

void Devices::run(MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  since_ = now;
  running_ = true;
}

void Devices::stop(MonotonicTime now) {
  const std::lock_guard lock(mutex_);
  ran_ = ran(now);
  running_ = false;
}

std::chrono::nanoseconds Devices::ran(MonotonicTime now) const {
  return running_ ? ran_ + (now - since_) : ran_;
}

void Devices::type(std::string_view text) {
  const std::lock_guard lock(mutex_);
  input_ += text;
}

void Devices::await_output(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience, [&] { return ended_ || !lines_.empty(); });
}

std::vector<std::string> Devices::take_lines() {
  const std::lock_guard lock(mutex_);
  return std::exchange(lines_, {});
}

std::string Devices::await_line(std::string_view text, std::chrono::seconds patience) {
  std::unique_lock lock(mutex_);
  const auto find = [&] {
    return std::find_if(lines_.begin(), lines_.end(),
                        [&](const std::string& line) { return line.find(text) != std::string::npos; });
  };
  changed_.wait_for(lock, patience, [&] { return ended_ || find() != lines_.end(); });
  const auto found = find();
  if (found == lines_.end()) return {};
  auto line = *found;
  lines_.erase(lines_.begin(), found + 1);
  return line;
}

bool Devices::has_ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void Devices::abandon() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

// Version, nanoseconds run (8 bytes, little-endian), the line that is half written, a zero, what was typed
// and not yet read.
ByteBuffer Devices::save() const {
  const std::lock_guard lock(mutex_);
  ByteBuffer state{kStateVersion};
  const auto ran = static_cast<std::uint64_t>(ran_.count());
  for (unsigned i = 0; i < 8; ++i) state.push_back(static_cast<std::byte>(ran >> 8 * i & 0xff));
  for (const char letter : line_) state.push_back(static_cast<std::byte>(letter == '\0' ? '?' : letter));
  state.push_back(std::byte{0});
  for (const char letter : input_) state.push_back(static_cast<std::byte>(letter));
  return state;
}

Result<> Devices::load(ByteView state) {
  constexpr std::size_t head = 9;
  if (state.size() <= head || state.front() != kStateVersion) {
    return fail(ErrorCode::refused, "the devices' state is not one of vmigrate-microvm");
  }
  const auto text = as_text(state.subspan(head));
  const auto end = text.find('\0');
  if (end == std::string_view::npos || end > kLongestLine) {
    return fail(ErrorCode::refused, "the devices' state is broken");
  }
  const std::lock_guard lock(mutex_);
  std::uint64_t ran = 0;
  for (unsigned i = 0; i < 8; ++i) ran |= std::to_integer<std::uint64_t>(state[1 + i]) << 8 * i;
  ran_ = std::chrono::nanoseconds(ran);
  line_ = text.substr(0, end);
  input_ = text.substr(end + 1);
  return {};
}

}  // namespace vmigrate::microvm
