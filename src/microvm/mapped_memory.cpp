#include "microvm/mapped_memory.hpp"

#include <cerrno>

#include <sys/mman.h>

namespace vmigrate::microvm {

Result<MappedMemory> MappedMemory::create(std::uint64_t size, bool huge) {
  void* start =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return fail_errno("taking memory for the guest", errno);
  if (huge) (void)::madvise(start, size, MADV_HUGEPAGE);
  return MappedMemory(static_cast<std::byte*>(start), size);
}

MappedMemory::~MappedMemory() {
  if (start_ != nullptr) ::munmap(start_, size_);
}

}  // namespace vmigrate::microvm
