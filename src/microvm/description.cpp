#include "microvm/description.hpp"

#include <fmt/format.h>

#include "microvm/console.hpp"
#include "vmigrate/microvm.pb.h"

namespace vmigrate::microvm {
namespace {

constexpr std::uint32_t kVersion = 1;
constexpr int kMostSlots = 64;
// Guest-physical addresses of processors today have up to 52 bits.
constexpr std::uint64_t kAddresses = std::uint64_t{1} << 52;

tl::unexpected<Error> bad_description(std::string what) {
  return fail(ErrorCode::refused, "the VM's description " + std::move(what),
              "use the same version of vmigrate-microvm on both hosts");
}

}  // namespace

Result<vmm::Description> describe(const VirtualMachine& vm, const Identity& identity) {
  const auto needs = vm.machine().needs();
  if (!needs) return fail(needs.error());
  vmm::Description description;
  description.set_kind(kKind);
  description.set_vm(identity.id.text());
  description.set_name(identity.name);
  const auto& configuration = vm.configuration();
  description.set_vcpus(configuration.vcpus);
  description.set_needs(std::string(as_text(*needs)));
  microvm_configuration::Configuration own;
  own.set_version(kVersion);
  own.set_vcpus(configuration.vcpus);
  own.set_huge_pages(configuration.huge_pages);
  std::uint64_t size = 0;
  for (const auto& memory : configuration.memory) {
    auto& slot = *own.add_memory();
    slot.set_name(memory.name);
    slot.set_guest_address(memory.guest_address);
    slot.set_size(memory.size);
    slot.set_read_only(memory.read_only);
    size += memory.size;
  }
  description.set_memory(size);
  description.set_own(own.SerializeAsString());
  return description;
}

Result<Configuration> configuration_of(const vmm::Description& description) {
  microvm_configuration::Configuration own;
  if (description.kind() != kKind || !own.ParseFromString(description.own()))
    return bad_description("cannot be read");
  if (own.version() != kVersion)
    return bad_description(fmt::format("has version {}, and {} is known here", own.version(), kVersion));
  if (own.memory_size() > kMostSlots)
    return bad_description(fmt::format("has {} memory slots", own.memory_size()));
  Configuration configuration;
  configuration.vcpus = own.vcpus();
  configuration.huge_pages = own.huge_pages();
  std::uint64_t size = 0;
  for (const auto& slot : own.memory()) {
    size += slot.size();
    if (slot.guest_address() >= kAddresses || slot.size() > kAddresses)
      return bad_description(fmt::format("has a memory slot '{}' that no processor can reach", slot.name()));
    configuration.memory.push_back({slot.name(), slot.guest_address(), slot.size(), slot.read_only()});
  }
  // This is what `migrated` has compared with the memory that the host has.
  if (size != description.memory())
    return bad_description("says that it has another size than its memory slots");
  return configuration;
}

Result<Identity> identity_of(const vmm::Description& description) {
  const auto id = VmId::parse(description.vm());
  if (!id) return fail(id.error());
  if (auto checked = check_name(description.name()); !checked) return fail(checked.error());
  return Identity{*id, description.name()};
}

Result<std::unique_ptr<VirtualMachine>> make_twin(const vmm::Description& description) {
  if (const auto identity = identity_of(description); !identity) return fail(identity.error());
  const auto configuration = configuration_of(description);
  if (!configuration) return fail(configuration.error());
  auto vm = VirtualMachine::create(*configuration);
  if (!vm) return vm;
  if (auto checked = (*vm)->machine().check(as_byte_view(description.needs())); !checked)
    return fail(checked.error());
  return vm;
}

}  // namespace vmigrate::microvm
