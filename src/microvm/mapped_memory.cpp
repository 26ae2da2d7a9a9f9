#include "microvm/mapped_memory.hpp"

#include <cerrno>

#include <sys/mman.h>

namespace vmigrate::microvm {

Result<MappedMemory> MappedMemory::create(std::uint64_t size, bool huge, std::uint64_t guest_address) {
  const auto taken = huge ? size + kHugePageSize : size;
  void* memory =
      ::mmap(nullptr, taken, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return fail_errno("taking memory for the guest", errno);
  auto* start = static_cast<std::byte*>(memory);
  if (!huge) return MappedMemory(start, size);
  // What is before and behind it is given back.
  const auto before = (guest_address - reinterpret_cast<std::uintptr_t>(start)) % kHugePageSize;
  if (before != 0) ::munmap(start, before);
  ::munmap(start + before + size, kHugePageSize - before);
  (void)::madvise(start + before, size, MADV_HUGEPAGE);
  return MappedMemory(start + before, size);
}

MappedMemory::~MappedMemory() {
  if (start_ != nullptr) ::munmap(start_, size_);
}

}  // namespace vmigrate::microvm
