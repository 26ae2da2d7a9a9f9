#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"

namespace vmigrate::microvm {

/// What a guest reaches through ports. Thread-safe: several vCPUs use it at once.
///
///   0x3f8..0x3ff  a serial console as of a PC (8250): no interrupts, always ready to send
///   0x600         tick port, read 32 bits: milliseconds that the guest has run, without those it stood still
///   0x604         read 32 bits: random, different in every copy of a guest
///   0x608         write 32 bits: the guest ends, with that number
class Devices {
 public:
  Devices() = default;

  /// `data`: 1, 2 or 4 bytes. Of ports that nobody knows all bits are set.
  void read(std::uint16_t port, std::span<std::byte> data);
  void write(std::uint16_t port, std::span<const std::byte> data);

  /// The guest's time goes on, or stands still.
  void run(MonotonicTime now);
  void stop(MonotonicTime now);

  /// For the console: what the guest reads next.
  void type(std::string_view text);
  /// Waits until the guest has written a line or has ended, or `patience` has.
  void await_output(std::chrono::milliseconds patience);
  /// The lines that the guest has written since the last time.
  std::vector<std::string> take_lines();
  /// Waits for a line that contains `text`, and takes all lines up to it. Nothing if the guest has ended, or
  /// `patience` with it.
  std::string await_line(std::string_view text, std::chrono::seconds patience);
  bool has_ended() const;
  /// Whoever waits for a line stops waiting.
  void abandon();

  /// While stopped. The form is ours: see the code.
  ByteBuffer save() const;
  Result<> load(ByteView state);

 private:
  std::uint32_t value_at(std::uint16_t port);
  std::uint32_t serial_value(std::size_t number);
  void write_serial(std::size_t number, std::byte value);
  void print(std::byte byte);
  bool sets_speed() const;
  std::chrono::nanoseconds ran(MonotonicTime now) const;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string input_;
  std::array<std::byte, 8> serial_{};  ///< registers of the serial console as they were written
  std::string line_;
  std::vector<std::string> lines_;
  std::chrono::nanoseconds ran_{};
  MonotonicTime since_;
  bool running_ = false;
  bool ended_ = false;
};

}  // namespace vmigrate::microvm
