#pragma once

#include <string>

#include <gtest/gtest.h>

#include "announce/addresses.hpp"
#include "announce/bridge_announcer.hpp"
#include "base/bytes.hpp"
#include "base/file_descriptor.hpp"
#include "mac.hpp"

namespace vmigrate::announce {

/// A TAP device whose far end this program holds: what a QEMU has for its VM, and here also what the rest of
/// the network is. It vanishes with this object.
class Tap {
 public:
  explicit Tap(const std::string& name);
  /// What the far end sends.
  void write(ByteView frame) const;
  /// What reaches the far end next, but for the kernel's own multicast reports; waits for it. Empty after 30
  /// s.
  ByteBuffer read() const;
  /// Throws away what has reached the far end so far.
  void drain() const;

 private:
  FileDescriptor device_;
};

/// Each test has a network namespace of its own, which ends with the test: a bridge "br0" with the ports
/// "vm0" (the VM), "uplink0" (the way to the rest of the network) and "side0" (another VM).
class BridgeTest : public testing::Test {
 protected:
  BridgeTest();

  static void run(const std::string& command);
  static bool succeeds(const std::string& command);
  static void add_bridge(const std::string& name);
  static void attach(const std::string& tap, const std::string& bridge);
  static Interface interface(std::vector<std::string> addresses = {});

  /// Sends a broadcast from `from` and expects it to be the next frame that reaches `to`: nothing came
  /// before.
  static void expect_silence_until_marker(const Tap& from, const Tap& to);
  /// Expects a unicast frame to `kMac` from `from` to reach `to`, as the next frame.
  static void expect_forwarding(const Tap& from, const Tap& to);
  /// Makes the bridge learn kMac at this port.
  static void send_as_vm(const Tap& tap);

  static const std::string kMacText;

 private:
  struct Namespace {
    Namespace();
  } namespace_;

 protected:
  Tap vm_;
  Tap uplink_;
  Tap side_;
};

}  // namespace vmigrate::announce
