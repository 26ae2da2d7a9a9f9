/* Tells whether two copies of this guest ran: every `first` ms it prints "SEQUENCE NONCE", with a fresh random nonce from
 * outside. A sequence number that is seen with two nonces was printed by two copies; a gap or a step back means that
 * one was lost, or that an old one runs. */
#include "machine.h"

void guest_main(uint32_t number, uint32_t count, uint32_t interval, uint32_t unused) {
  uint32_t sequence = 0;
  uint32_t last = ticks();
  (void)count;
  (void)unused;
  while (number == 0) {
    while (ticks() - last < interval) barrier();
    last += interval;
    print_number(++sequence);
    print(" ");
    print_number(in32(kRandomPort));
    print("\n");
  }
  for (;;) barrier();
}
