/* Keeps values in every kind of register that a move must carry, lets timers interrupt it, and says when it is asked
 * ("s" on the console) whether all of them are still what they should be: it answers once the timers have gone on,
 * and never if they have not.
 *
 *   state=N fpu=ok sse=ok msr=ok debug=ok tsc=ok apic=COUNT pit=COUNT
 *
 * "apic" is the sum of the ticks of all vCPUs' local APIC timers, "pit" the ticks of the timer chip, which come through
 * the IOAPIC to the first vCPU. Every vCPU checks its own registers; "bad" is said if any found one wrong.
 *
 * On a host whose KVM emulates every instruction only those that move values to and from these registers run; to
 * calculate with them would prove no more.
 */
#include "machine.h"

enum { kMostVcpus = 4 };
enum { kTimerVector = 0x40, kPitVector = 0x41, kVectors = 0x50 };
enum { kCode = 0x08, kData = 0x10 };
enum { kApicId = 0x20, kApicEoi = 0xb0, kApicSpurious = 0xf0, kApicTimer = 0x320, kApicInitial = 0x380, kApicDivide = 0x3e0 };
enum { kApicPeriodic = 1 << 17, kApicEnabled = 0x100 };
enum { kPitPin = 0 /* as KVM wires it unless the VMM says otherwise */, kPitHz = 1193182, kPitRate = 50, kApicCount = 20000000 };
enum { kStar = 0xc0000081, kSysenterEsp = 0x175 };

enum fault { kFpu = 1, kSse = 2, kMsr = 4, kDebug = 8, kTsc = 16 };

struct gate {
  uint16_t low, selector, kind, high;
} __attribute__((packed));

struct table {
  uint16_t limit;
  uint32_t address;
} __attribute__((packed));

static const uint64_t descriptors[] = {0, 0x00cf9a000000ffffull, 0x00cf92000000ffffull};
static struct gate gates[kVectors] __attribute__((aligned(8)));
static volatile uint32_t apic_ticks[kMostVcpus];
static volatile uint32_t pit_ticks;
static volatile uint32_t faults;
static volatile uint32_t passes[kMostVcpus]; /* over all registers */

static volatile uint32_t* apic(uint32_t offset) {
  return (volatile uint32_t*)(0xfee00000u + offset);
}

static void ioapic_write(uint32_t index, uint32_t value) {
  *(volatile uint32_t*)0xfec00000u = index;
  *(volatile uint32_t*)0xfec00010u = value;
}

void on_timer(void) {
  ++apic_ticks[*apic(kApicId) >> 24];
  *apic(kApicEoi) = 0;
}

void on_pit(void) {
  ++pit_ticks;
  *apic(kApicEoi) = 0;
}

/* What IRET does, for a KVM that emulates instructions and has not that one: the flags first, which another interrupt
 * may follow at once, then a far return over them. */
#define RETURN "  popal\n  pushl 8(%esp)\n  popfl\n  lret $4\n"
void timer_entry(void);
void pit_entry(void);
__asm__(
    ".text\n"
    "timer_entry:\n  pushal\n  call on_timer\n" RETURN
    "pit_entry:\n  pushal\n  call on_pit\n" RETURN);

static void set_gate(uint32_t vector, void (*entry)(void)) {
  const uint32_t address = (uint32_t)entry;
  gates[vector] = (struct gate){(uint16_t)address, kCode, 0x8e00, (uint16_t)(address >> 16)};
}

static void load_tables(void) {
  const struct table global = {sizeof descriptors - 1, (uint32_t)descriptors};
  const struct table interrupts = {sizeof gates - 1, (uint32_t)gates};
  __asm__ volatile("lgdt %0\n lidt %1" : : "m"(global), "m"(interrupts) : "memory");
}

static void start_apic_timer(void) {
  *apic(kApicSpurious) = kApicEnabled | 0xff;
  *apic(kApicDivide) = 0xb; /* by 1 */
  *apic(kApicTimer) = kApicPeriodic | kTimerVector;
  *apic(kApicInitial) = kApicCount;
}

static void start_pit(void) {
  const uint32_t divisor = kPitHz / kPitRate;
  out8(0x21, 0xff); /* the old interrupt controllers say nothing: the IOAPIC does */
  out8(0xa1, 0xff);
  ioapic_write(0x10 + kPitPin * 2 + 1, 0);
  ioapic_write(0x10 + kPitPin * 2, kPitVector);
  out8(0x43, 0x34); /* channel 0, both bytes, rate generator */
  out8(0x40, divisor & 0xff);
  out8(0x40, divisor >> 8);
}

static void write_msr(uint32_t index, uint32_t value) {
  __asm__ volatile("wrmsr" : : "c"(index), "a"(value), "d"(0));
}

static uint32_t read_msr(uint32_t index) {
  uint32_t low, high;
  __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return low;
}

static uint32_t pattern(uint32_t number, uint32_t place) {
  return (number + 1) * 0x01010101u ^ place * 0x9e3779b1u;
}

/* The image of FXSAVE and FXRSTOR: of the x87 registers the control word and the eight of the stack, and of SSE the
 * control word and eight registers. AMD64 Architecture Programmer's Manual, volume 2, 11.4.4. */
struct image {
  uint16_t control, status;
  uint8_t tags, reserved;
  uint16_t opcode;
  uint32_t pointers[4];
  uint32_t mxcsr, mxcsr_mask;
  uint32_t stack[8][4]; /* 80 bits each */
  uint32_t xmm[8][4];
  uint32_t unused[56];
} __attribute__((aligned(16)));

static uint16_t control_word(uint32_t number) {
  return (uint16_t)(0x37f & ~(number << 8));
}

static uint32_t mxcsr(uint32_t number) {
  return 0x1f80 | number << 13;
}

static void fill_fpu(uint32_t number) {
  struct image image = {.control = control_word(number), .tags = 0xff, .mxcsr = mxcsr(number)};
  for (uint32_t i = 0; i < 8; ++i) {
    image.stack[i][0] = pattern(number, 100 + i);
    image.stack[i][1] = pattern(number, 110 + i) | 0x80000000u;
    image.stack[i][2] = 0x3fff;
    for (uint32_t j = 0; j < 4; ++j) image.xmm[i][j] = pattern(number, i * 4 + j);
  }
  __asm__ volatile("fxrstor %0" : : "m"(image));
}

static uint32_t check_fpu(uint32_t number) {
  struct image image;
  uint32_t fpu, sse;
  __asm__ volatile("fxsave %0" : "=m"(image));
  fpu = (uint32_t)image.control ^ control_word(number);
  sse = image.mxcsr ^ mxcsr(number);
  for (uint32_t i = 0; i < 8; ++i) {
    fpu |= image.stack[i][0] ^ pattern(number, 100 + i);
    fpu |= image.stack[i][1] ^ (pattern(number, 110 + i) | 0x80000000u);
    fpu |= (image.stack[i][2] & 0xffff) ^ 0x3fff;
    for (uint32_t j = 0; j < 4; ++j) sse |= image.xmm[i][j] ^ pattern(number, i * 4 + j);
  }
  return (fpu ? kFpu : 0) | (sse ? kSse : 0);
}

static void fill_others(uint32_t number) {
  write_msr(kStar, pattern(number, 200));
  write_msr(kSysenterEsp, pattern(number, 201));
  __asm__ volatile("movl %0, %%dr0" : : "r"(pattern(number, 300)));
}

static uint32_t check(uint32_t number, uint32_t* last_tsc) {
  uint32_t found = check_fpu(number);
  uint32_t debug, low, high;
  if (read_msr(kStar) != pattern(number, 200) || read_msr(kSysenterEsp) != pattern(number, 201)) found |= kMsr;
  __asm__ volatile("movl %%dr0, %0" : "=r"(debug));
  if (debug != pattern(number, 300)) found |= kDebug;
  __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
  const uint32_t now = low >> 20 | high << 12; /* steps of a million: no overflow for weeks */
  if (now < *last_tsc) found |= kTsc;
  *last_tsc = now;
  return found;
}

static uint32_t all_apic_ticks(uint32_t vcpus) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < vcpus; ++i) sum += apic_ticks[i];
  return sum;
}

static void print_verdict(const char* name, uint32_t fault) {
  print(name);
  print((faults & fault) ? "=bad " : "=ok ");
}

/* Whether since the question every timer has gone on and every vCPU has looked at its registers. */
static int all_went_on(uint32_t vcpus, const uint32_t* ticks_then, const uint32_t* passes_then, uint32_t pit_then) {
  for (uint32_t i = 0; i < vcpus; ++i) {
    if (apic_ticks[i] - ticks_then[i] < 2 || passes[i] - passes_then[i] < 2) return 0;
  }
  return pit_ticks - pit_then >= 2;
}

static void answer(uint32_t vcpus, uint32_t count) {
  print("state=");
  print_number(count);
  print(" ");
  print_verdict("fpu", kFpu);
  print_verdict("sse", kSse);
  print_verdict("msr", kMsr);
  print_verdict("debug", kDebug);
  print_verdict("tsc", kTsc);
  print("apic=");
  print_number(all_apic_ticks(vcpus));
  print(" pit=");
  print_number(pit_ticks);
  print("\n");
}

void guest_main(uint32_t number, uint32_t vcpus, uint32_t unused, uint32_t unused_too) {
  uint32_t ticks_then[kMostVcpus];
  uint32_t passes_then[kMostVcpus];
  uint32_t pit_then = 0, asked = 0, count = 0, last_tsc = 0;
  (void)unused;
  (void)unused_too;
  __asm__ volatile("movl %%cr4, %%eax\n orl $0x600, %%eax\n movl %%eax, %%cr4" : : : "eax"); /* SSE */
  if (number == 0) {
    set_gate(kTimerVector, timer_entry);
    set_gate(kPitVector, pit_entry);
    start_pit();
    print("started\n");
  }
  while (gates[kPitVector].kind == 0) barrier();
  load_tables();
  start_apic_timer();
  fill_fpu(number);
  fill_others(number);
  __asm__ volatile("sti");
  for (;;) {
    const uint32_t found = check(number, &last_tsc);
    if (found) __atomic_fetch_or(&faults, found, __ATOMIC_SEQ_CST);
    ++passes[number];
    if (number != 0) continue;
    if (!asked && typed() == 's') {
      for (uint32_t i = 0; i < vcpus; ++i) {
        ticks_then[i] = apic_ticks[i];
        passes_then[i] = passes[i];
      }
      pit_then = pit_ticks;
      asked = 1;
    } else if (asked && all_went_on(vcpus, ticks_then, passes_then, pit_then)) {
      answer(vcpus, ++count);
      asked = 0;
    }
  }
}
