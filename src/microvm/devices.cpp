#include "microvm/devices.hpp"

#include <algorithm>
#include <cstring>

#include <sys/random.h>

namespace vmigrate::microvm {
namespace {

constexpr std::uint16_t kSerial = 0x3f8;
constexpr std::uint16_t kTick = 0x600;
constexpr std::uint16_t kRandom = 0x604;
constexpr std::uint16_t kEnd = 0x608;
// Registers of an 8250, by their distance from the first port.
constexpr std::size_t kData = 0;
constexpr std::size_t kInterruptEnable = 1;
constexpr std::size_t kInterruptIdentification = 2;
constexpr std::size_t kLineControl = 3;
constexpr std::size_t kLineStatus = 5;
constexpr std::size_t kModemStatus = 6;
constexpr std::uint32_t kNoInterrupt = 0x01;
constexpr std::byte kSpeedRegisters{0x80};  // of line control: the first two are the speed then
constexpr std::uint32_t kIdle = 0x60;       // of line status
constexpr std::uint32_t kHasInput = 0x01;
constexpr std::uint32_t kOtherEndIsThere = 0xb0;  // of modem status
// A guest that writes without end must not take the host's memory.
constexpr std::size_t kLongestLine = 4096;
constexpr std::size_t kMostLines = 100'000;

constexpr std::byte kStateVersion{2};

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
  if (port >= kSerial && port < kSerial + serial_.size()) return serial_value(port - kSerial);
  switch (port) {
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
  if (port >= kSerial && port < kSerial + serial_.size()) write_serial(port - kSerial, data.front());
  if (port == kEnd) ended_ = true;
  changed_.notify_all();
}

bool Devices::sets_speed() const {
  return (serial_[kLineControl] & kSpeedRegisters) != std::byte{0};
}

std::uint32_t Devices::serial_value(std::size_t number) {
  switch (number) {
    case kData: {
      if (input_.empty() || sets_speed()) return 0;
      const char first = input_.front();
      input_.erase(input_.begin());
      return static_cast<std::uint8_t>(first);
    }
    case kInterruptIdentification: return kNoInterrupt;
    case kLineStatus: return kIdle | (input_.empty() ? 0 : kHasInput);
    case kModemStatus: return kOtherEndIsThere;
    default: return std::to_integer<std::uint32_t>(serial_[number]);
  }
}

// The speed is not kept: there is no wire.
void Devices::write_serial(std::size_t number, std::byte value) {
  if (number <= kInterruptEnable && sets_speed()) return;
  if (number == kData) return print(value);
  serial_[number] = value;
}

void Devices::print(std::byte byte) {
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

// Version, nanoseconds run (8 bytes, little-endian), the serial console's registers (8 bytes), the line that
// is half written, a zero, what was typed and not yet read.
ByteBuffer Devices::save() const {
  const std::lock_guard lock(mutex_);
  ByteBuffer state{kStateVersion};
  const auto ran = static_cast<std::uint64_t>(ran_.count());
  for (unsigned i = 0; i < 8; ++i) state.push_back(static_cast<std::byte>(ran >> 8 * i & 0xff));
  state.insert(state.end(), serial_.begin(), serial_.end());
  for (const char letter : line_) state.push_back(static_cast<std::byte>(letter == '\0' ? '?' : letter));
  state.push_back(std::byte{0});
  for (const char letter : input_) state.push_back(static_cast<std::byte>(letter));
  return state;
}

Result<> Devices::load(ByteView state) {
  constexpr std::size_t registers = 9;
  constexpr std::size_t head = registers + 8;
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
  std::copy_n(state.begin() + registers, serial_.size(), serial_.begin());
  line_ = text.substr(0, end);
  input_ = text.substr(end + 1);
  return {};
}

}  // namespace vmigrate::microvm
