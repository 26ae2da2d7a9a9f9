/* In place of a Linux kernel: looks at all that the boot protocol promises at the 32-bit entry, and tells on the serial
 * console what it was given. tests/microvm puts a kernel's header in front of it. */
#define VMIGRATE_GUEST_HAS_OWN_START
#include "machine.h"

/* In the section that the linker puts first. No stack is promised, but that segments can be loaded. */
__asm__(
    ".section .text.unlikely, \"ax\"\n"
    ".globl _start\n"
    "_start:\n"
    "  movl $0x18, %eax\n"
    "  movl %eax, %ds\n"
    "  movl %eax, %es\n"
    "  movl %eax, %ss\n"
    "  ljmp $0x10, $1f\n"
    "1: movl $0x90000, %esp\n"
    "  pushl %edi\n"
    "  pushl %ebp\n"
    "  pushl %ebx\n"
    "  pushl %esi\n"
    "  call kernel_main\n"
    "2: hlt\n"
    "  jmp 2b\n"
    ".text\n");

enum { kInitrdAt = 0x218, kInitrdSize = 0x21c, kCommandLineAt = 0x228, kEntries = 0x1e8, kTable = 0x2d0 };

static uint32_t number_at(uint32_t address) {
  return *(const volatile uint32_t*)address;
}

static void tell(const char* what, uint32_t number) {
  print(what);
  print_number(number);
}

void kernel_main(uint32_t parameters, uint32_t ebx, uint32_t ebp, uint32_t edi) {
  const uint32_t initrd = number_at(parameters + kInitrdAt);
  const uint32_t size = number_at(parameters + kInitrdSize);
  const uint8_t entries = *(const volatile uint8_t*)(parameters + kEntries);
  /* As earlyprintk does: the speed's two bytes are not printed. */
  out8(kSerial + 3, 0x83);
  out8(kSerial, 'x');
  out8(kSerial + 1, 'x');
  out8(kSerial + 3, 0x03);
  for (uint8_t i = 0; i < entries; ++i) {
    const uint32_t entry = parameters + kTable + i * 20U;
    tell("memory ", number_at(entry));
    tell(" ", number_at(entry + 8));
    tell(" ", number_at(entry + 16));
    print("\n");
  }
  tell("registers ", ebx | ebp | edi);
  print(" command line ");
  print((const char*)number_at(parameters + kCommandLineAt));
  print(" initrd ");
  for (uint32_t i = 0; i < size; ++i) out8(kSerial, *(const volatile uint8_t*)(initrd + i));
  print("\n");
}
