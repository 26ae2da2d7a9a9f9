#include "hypervisor/throttle.hpp"

#include <string>

#include <fmt/format.h>

#include "hypervisor/monitor.hpp"

namespace vmigrate::hypervisor {
namespace {

/// QEMU's migration parameters of these names (qapi/migration.json), in percent.
struct Throttle {
  std::uint32_t initial;    // the first throttle
  std::uint32_t increment;  // every further step
  std::uint32_t maximum;
  // A pass that dirties more than this share of what it sends counts, and every second one that does is a
  // step.
  std::uint32_t trigger;
};

// libvirt has calls for the first two only, and for none of them while a migration runs.
Result<> set(virDomainPtr domain, const Throttle& wanted) {
  const auto command =
      fmt::format(R"({{"execute":"migrate-set-parameters","arguments":{{"cpu-throttle-initial":{},)"
                  R"("cpu-throttle-increment":{},"max-cpu-throttle":{},"throttle-trigger-threshold":{}}}}})",
                  wanted.initial, wanted.increment, wanted.maximum, wanted.trigger);
  if (const auto answer = ask_monitor(domain, command); !answer) {
    return fail(answer.error().code, "how far QEMU may slow the VM cannot be set: " + answer.error().message,
                "move it without --max-slowdown");
  }
  return {};
}

}  // namespace

Result<> hold_throttle_back(virDomainPtr domain) {
  return set(domain, {.initial = 1, .increment = 1, .maximum = 1, .trigger = 100});
}

Result<> throttle(virDomainPtr domain, Percent slowdown) {
  // The first step as well as any other leads to the maximum; next to anything is reason for one.
  return set(domain, {.initial = slowdown.count, .increment = 99, .maximum = slowdown.count, .trigger = 1});
}

Result<> reset_throttle(virDomainPtr domain) {
  return set(domain, {.initial = 20, .increment = 10, .maximum = 99, .trigger = 50});
}

}  // namespace vmigrate::hypervisor
