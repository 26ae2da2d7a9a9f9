/* Writes pages at a set rate, each so that it can tell whether it is what was last written there, and checks them all
 * when it is asked to. A move that loses, mixes up or brings back the content of a page is seen: by the index
 * (elsewhere), the sequence number (old), or the checksums all over the page (torn).
 *
 *   first   how many pages, from 4 MiB on
 *   second  how many of them to write a second; 0: as many as can be. With the highest bit set as well, what could not
 *           be written in its millisecond never is: the guest writes less, the less it runs.
 *
 * By index modulo 8: 0 is written once and never again; 1 is now and then made all zeros; the rest is written in random
 * order. Every vCPU has the pages of its own number modulo the number of vCPUs. A table in the same memory says what
 * was last written to each page. "s" on the console is answered with "pages=N bad=B sequence=S". From a "w" on it is a
 * fork detector as well: every 50 ms it prints "watch SEQUENCE NONCE", see fork_detector.c.
 *
 * On a host whose KVM emulates every instruction all bytes of a page would take too long: one word in 64 is written.
 */
#include "machine.h"

enum { kFirstPage = 0x400000, kPageSize = 4096, kMostPages = 16384, kMostVcpus = 4, kKinds = 8 };
enum { kWordsPerPage = 8, kStride = kPageSize / 4 / kWordsPerPage };
enum { kIndex, kSequence, kChecks };
static const uint32_t kLosesTime = 0x80000000u;
/* Pages that are written between two looks at the clock and the console, each of which leaves the guest. */
enum { kBatch = 16 };

struct vcpu {
  uint32_t sequence;
  uint32_t random;
  uint32_t due_from; /* ticks */
  uint32_t scanned;  /* number of the last scan that it has done its part of */
  uint32_t bad;
};

static uint32_t written[kMostPages]; /* sequence number of the last write by page; 0: all zeros */
static struct vcpu vcpus[kMostVcpus];
static int loses_time;
static volatile uint32_t scan; /* number of the scan that is asked for */

static uint32_t next_random(uint32_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

static uint32_t check(uint32_t index, uint32_t sequence, uint32_t place) {
  uint32_t value = index * 0x9e3779b1u ^ sequence * 0x85ebca6bu ^ place * 0xc2b2ae35u;
  value ^= value >> 15;
  return value * 0x2c1b3c6du | 1;
}

static volatile uint32_t* page_at(uint32_t index) {
  return (volatile uint32_t*)(kFirstPage + index * kPageSize);
}

static void write_page(struct vcpu* vcpu, uint32_t index) {
  volatile uint32_t* page = page_at(index);
  const uint32_t sequence = ++vcpu->sequence;
  page[kIndex] = index;
  page[kSequence] = sequence;
  for (uint32_t i = 0; i < kWordsPerPage; ++i) page[kChecks + i * kStride] = check(index, sequence, i);
  written[index] = sequence;
}

static void write_zeros(struct vcpu* vcpu, uint32_t index) {
  volatile uint32_t* page = page_at(index);
  page[kIndex] = page[kSequence] = 0;
  for (uint32_t i = 0; i < kWordsPerPage; ++i) page[kChecks + i * kStride] = 0;
  written[index] = 0;
  ++vcpu->sequence;
}

static int is_bad(uint32_t index) {
  const volatile uint32_t* page = page_at(index);
  const uint32_t sequence = written[index];
  uint32_t wrong = (page[kIndex] ^ (sequence ? index : 0)) | (page[kSequence] ^ sequence);
  for (uint32_t i = 0; i < kWordsPerPage; ++i) {
    wrong |= page[kChecks + i * kStride] ^ (sequence ? check(index, sequence, i) : 0);
  }
  return wrong != 0;
}

static void write_some(struct vcpu* vcpu, uint32_t number, uint32_t count, uint32_t pages, uint32_t writes) {
  for (; writes > 0; --writes) {
    const uint32_t index = next_random(&vcpu->random) % (pages / count) * count + number;
    const uint32_t kind = index / count % kKinds;
    if (kind == 0) continue;
    if (kind == 1 && (vcpu->sequence & 1) == 0)
      write_zeros(vcpu, index);
    else
      write_page(vcpu, index);
  }
}

/* After a pause only what is due for 100 ms; of a guest that loses time, 1 ms. */
static uint32_t due(struct vcpu* vcpu, uint32_t rate) {
  if (rate == 0) return kBatch;
  const uint32_t now = ticks();
  const uint32_t most = loses_time ? 1 : 100;
  uint32_t passed = now - vcpu->due_from;
  if (passed > most) passed = most;
  const uint32_t writes = rate * passed / 1000;
  if (writes > 0) vcpu->due_from = now;
  return writes;
}

static void scan_own(struct vcpu* vcpu, uint32_t number, uint32_t count, uint32_t pages) {
  uint32_t bad = 0;
  for (uint32_t index = number; index < pages; index += count) bad += is_bad(index);
  vcpu->bad = bad;
  barrier();
  vcpu->scanned = scan;
}

static void scan_all(uint32_t count, uint32_t pages) {
  uint32_t bad = 0;
  uint32_t sequence = 0;
  scan = scan + 1;
  scan_own(&vcpus[0], 0, count, pages);
  for (uint32_t i = 0; i < count; ++i) {
    while (*(volatile uint32_t*)&vcpus[i].scanned != scan) barrier();
    bad += vcpus[i].bad;
    sequence += vcpus[i].sequence;
  }
  print("pages=");
  print_number(pages);
  print(" bad=");
  print_number(bad);
  print(" sequence=");
  print_number(sequence);
  print("\n");
}

static void watch(void) {
  static uint32_t sequence;
  static uint32_t last;
  const uint32_t now = ticks();
  if (now - last < 50) return;
  last = now;
  print("watch ");
  print_number(++sequence);
  print(" ");
  print_number(in32(kRandomPort));
  print("\n");
}

void guest_main(uint32_t number, uint32_t count, uint32_t pages, uint32_t rate) {
  struct vcpu* vcpu = &vcpus[number];
  int watching = 0;
  pages -= pages % count;
  loses_time = (rate & kLosesTime) != 0;
  rate &= ~kLosesTime;
  vcpu->random = 0x12345u + number;
  vcpu->due_from = ticks();
  for (uint32_t index = number; index < pages; index += count) {
    if (index / count % kKinds != 1) write_page(vcpu, index);
  }
  if (number == 0) print("filled\n");
  for (;;) {
    write_some(vcpu, number, count, pages, due(vcpu, rate / count));
    if (number != 0) {
      if (vcpu->scanned != scan) scan_own(vcpu, number, count, pages);
      continue;
    }
    const char letter = typed();
    if (letter == 's') scan_all(count, pages);
    if (letter == 'w') watching = 1;
    if (watching) watch();
  }
}
