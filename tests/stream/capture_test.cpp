// Streams that the installed QEMU writes, and reads again after they went through decoder and encoder.
#include <random>

#include <gtest/gtest.h>

#include "qemu_process.hpp"
#include "recorder.hpp"

namespace vmigrate::stream {
namespace {

struct Machine {
  std::string name;
  std::vector<std::string> arguments;
};

class Capture : public testing::TestWithParam<Machine> {};

INSTANTIATE_TEST_SUITE_P(Machines, Capture,
                         testing::Values(Machine{"Pc", {"-M", "pc", "-m", "16M"}},
                                         Machine{"Q35", {"-M", "q35", "-m", "16M"}},
                                         Machine{"Microvm", {"-M", "microvm", "-m", "16M"}},
                                         Machine{"SplitMemory",
                                                 {"-M", "q35", "-m", "32M,slots=2,maxmem=64M", "-object",
                                                  "memory-backend-ram,id=a,size=16M", "-object",
                                                  "memory-backend-ram,id=b,size=16M", "-numa",
                                                  "node,memdev=a", "-numa", "node,memdev=b"}},
                                         Machine{"Devices",
                                                 {"-M", "pc", "-m", "16M", "-vga", "std", "-device",
                                                  "virtio-net-pci,romfile=", "-device", "virtio-balloon-pci",
                                                  "-device", "virtio-serial-pci"}}),
                         [](const auto& machine) { return machine.param.name; });

TEST_P(Capture, IsUnderstoodToTheEndOfRamAndComesOutExactly) {
  QemuProcess source(GetParam().arguments);
  const auto stream = source.capture();
  ASSERT_EQ(source.await_migration(), "completed");
  Decoder decoder;
  std::mt19937 random(1);
  const auto result = decode_in_pieces(stream, decoder, [&] { return random() % 70'000; });
  EXPECT_EQ(decoder.opaque_reason(), "");
  EXPECT_TRUE(result.statistics.ram_ended());
  EXPECT_EQ(result.encoder.output(), stream);
  // A first pass sends every page of every block once.
  std::uint64_t total = 0;
  for (const auto& block : result.table) total += block.size;
  EXPECT_GE(result.statistics.guest_bytes(), total);
  EXPECT_GT(result.statistics.zero_pages(), result.statistics.pages());
}

TEST_P(Capture, LoadsAfterDecodingAndEncoding) {
  QemuProcess source(GetParam().arguments);
  const auto stream = source.capture();
  auto arguments = GetParam().arguments;
  arguments.insert(arguments.end(), {"-incoming", "defer"});
  QemuProcess destination(arguments);
  EXPECT_EQ(destination.load(decode_whole(stream).encoder.output()), "completed");
}

TEST(CaptureOf, AnIdleMachineHasOnePassAndWhatTheStopLeft) {
  QemuProcess source({"-M", "pc", "-m", "16M", "-S"});
  const auto result = decode_whole(source.capture());
  EXPECT_GE(result.statistics.passes(), 1U);
  EXPECT_LE(result.statistics.passes(), 3U);
}

TEST(CaptureOf, AReturnPathAndPostcopyAdviceAreUnderstood) {
  QemuProcess source({"-M", "pc", "-m", "16M"});
  source.set_capability("return-path");
  source.set_capability("postcopy-ram");
  const auto stream = source.capture(true);
  Decoder decoder;
  const auto result = decode_in_pieces(stream, decoder, [] { return std::size_t{4097}; });
  EXPECT_EQ(decoder.opaque_reason(), "");
  EXPECT_TRUE(result.statistics.ram_ended());
  EXPECT_EQ(result.encoder.output(), stream);
}

TEST(CaptureOf, MultifdIsRefusedInWordsAndCarried) {
  // The pages take connections of their own, whose bytes are no migration stream; nothing may be misread
  // there.
  QemuProcess source({"-M", "pc", "-m", "16M"});
  source.set_capability("multifd");
  const auto streams = source.capture_connections(3);
  std::size_t refused = 0;
  for (const auto& stream : streams) {
    Decoder decoder;
    const auto result = decode_in_pieces(stream, decoder, [] { return std::size_t{1000}; });
    EXPECT_EQ(result.encoder.output(), stream);
    EXPECT_EQ(result.statistics.pages(), 0U);
    if (decoder.opaque_reason().find("does not begin") != std::string::npos) ++refused;
  }
  EXPECT_EQ(refused, 2U);
}

TEST(CaptureOf, XbzrleIsCarried) {
  QemuProcess source({"-M", "pc", "-m", "16M"});
  source.set_capability("xbzrle");
  const auto stream = source.capture();
  Decoder decoder;
  const auto result = decode_in_pieces(stream, decoder, [] { return std::size_t{4097}; });
  EXPECT_EQ(decoder.opaque_reason(), "");
  EXPECT_TRUE(result.statistics.ram_ended());
  EXPECT_EQ(result.encoder.output(), stream);
}

}  // namespace
}  // namespace vmigrate::stream
