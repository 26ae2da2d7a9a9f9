#include "microvm/devices.hpp"

#include <gtest/gtest.h>

namespace vmigrate::microvm {
namespace {

constexpr std::uint16_t kSerial = 0x3f8;

void out(Devices& devices, std::uint16_t port, char value) {
  const auto byte = static_cast<std::byte>(value);
  devices.write(port, {&byte, 1});
}

int in(Devices& devices, std::uint16_t port) {
  std::byte byte{};
  devices.read(port, {&byte, 1});
  return std::to_integer<int>(byte);
}

TEST(SerialConsole, IsTakenForAnUart) {
  Devices devices;
  // What Linux's 8250 driver tries: registers that keep what is written to them, and no interrupt that waits.
  out(devices, kSerial + 7, 0x5a);
  out(devices, kSerial + 1, 0x0f);
  EXPECT_EQ(in(devices, kSerial + 7), 0x5a);
  EXPECT_EQ(in(devices, kSerial + 1), 0x0f);
  EXPECT_EQ(in(devices, kSerial + 2), 0x01);
  EXPECT_EQ(in(devices, kSerial + 5), 0x60);
}

TEST(SerialConsole, ItsSpeedIsNotPrintedAndNothingIsReadMeanwhile) {
  Devices devices;
  devices.type("t");
  out(devices, kSerial + 3, static_cast<char>(0x83));
  out(devices, kSerial, 'x');
  EXPECT_EQ(in(devices, kSerial), 0);
  // Halfway, the guest moves.
  Devices twin;
  ASSERT_TRUE(twin.load(devices.save()));
  out(twin, kSerial + 1, 'y');
  out(twin, kSerial + 3, 0x03);
  out(twin, kSerial, 'z');
  out(twin, kSerial, '\n');
  EXPECT_EQ(twin.take_lines(), std::vector<std::string>{"z"});
  EXPECT_EQ(in(twin, kSerial + 1), 0);
  EXPECT_EQ(in(twin, kSerial), 't');
}

TEST(Devices, AStateThatIsCutShortIsRefused) {
  Devices devices;
  out(devices, kSerial, 'x');
  const auto state = devices.save();
  for (std::size_t size = 0; size + 2 < state.size(); ++size) {
    EXPECT_FALSE(Devices().load(ByteView(state).first(size))) << size;
  }
  EXPECT_TRUE(Devices().load(state));
}

}  // namespace
}  // namespace vmigrate::microvm
