/* Writes to memory in a set pattern at a set rate, for ever: a load to move, and nothing else.
 *
 *   first   MiB to write to, from 4 MiB on
 *   second  pages a second; 0: as many as can be
 *
 * The pages are written in turn, in every page its first word.
 */
#include "machine.h"

enum { kFirstPage = 0x400000, kPageSize = 4096, kPagesPerMib = 256, kBatch = 64 };

void guest_main(uint32_t number, uint32_t count, uint32_t mib, uint32_t rate) {
  const uint32_t pages = mib * kPagesPerMib;
  uint32_t from = ticks();
  uint32_t index = number;
  uint32_t value = 1;
  if (number == 0) print("writing\n");
  for (;;) {
    uint32_t writes = kBatch;
    if (rate != 0) {
      const uint32_t now = ticks();
      writes = rate / count * (now - from) / 1000;
      if (writes > 0) from = now;
      if (writes > rate) writes = rate;
    }
    for (; writes > 0; --writes) {
      *(volatile uint32_t*)(kFirstPage + index * kPageSize) = value++;
      index += count;
      if (index >= pages) index = number;
    }
  }
}
