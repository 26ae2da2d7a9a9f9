#include "largest_block.hpp"

#include <cstdlib>
#include <new>

namespace vmigrate::peer {

std::atomic<std::size_t> largest_block = 0;

}  // namespace vmigrate::peer

void* operator new(std::size_t size) {
  using vmigrate::peer::largest_block;
  std::size_t seen = largest_block.load();
  while (size > seen && !largest_block.compare_exchange_weak(seen, size)) {
  }
  if (void* block = std::malloc(size == 0 ? 1 : size)) return block;
  throw std::bad_alloc();
}

void operator delete(void* block) noexcept {
  std::free(block);
}

void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}
