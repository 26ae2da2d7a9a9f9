/* What the guests of vmigrate-microvm have in common: they start in 32-bit protected mode, flat, each vCPU with a stack
 * of its own, and reach the outside through ports (see src/microvm/devices.hpp). */
#ifndef VMIGRATE_GUEST_MACHINE_H
#define VMIGRATE_GUEST_MACHINE_H

#include <stdint.h>

enum { kSerial = 0x3f8, kSerialStatus = 0x3fd, kTickPort = 0x600, kRandomPort = 0x604 };

static inline void out8(uint16_t port, uint8_t value) {
  __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port) {
  uint8_t value;
  __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

static inline uint32_t in32(uint16_t port) {
  uint32_t value;
  __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

/* Milliseconds that the guest has run. */
static inline uint32_t ticks(void) {
  return in32(kTickPort);
}

/* What was typed next, or 0. */
static inline char typed(void) {
  return (in8(kSerialStatus) & 1) ? (char)in8(kSerial) : 0;
}

static inline void print(const char* text) {
  for (; *text; ++text) out8(kSerial, (uint8_t)*text);
}

static inline void print_number(uint32_t number) {
  char digits[11];
  int at = sizeof digits - 1;
  digits[at] = 0;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  print(digits + at);
}

static inline void barrier(void) {
  __asm__ volatile("" : : : "memory");
}

#ifndef VMIGRATE_GUEST_HAS_OWN_START
/* Called on each vCPU: its number, how many there are, and the two numbers that the guest was started with. */
void guest_main(uint32_t number, uint32_t vcpus, uint32_t first, uint32_t second);

/* The first bytes of the image. */
__asm__(
    ".section .text.start, \"ax\"\n"
    ".globl _start\n"
    "_start:\n"
    "  pushl %edx\n"
    "  pushl %ecx\n"
    "  pushl %esi\n"
    "  pushl %ebx\n"
    "  call guest_main\n"
    "1: hlt\n"
    "  jmp 1b\n"
    ".text\n");
#endif

#endif
