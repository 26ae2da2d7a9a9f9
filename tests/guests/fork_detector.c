/* Tells whether two copies of this guest ran: every 10 ms it sends "sequence nonce" to the monitor, with a
 * fresh random nonce. Two copies go on from the same sequence number but can hardly draw the same nonces, so
 * a number that the monitor gets with two nonces was sent by two guests. The processor's own random numbers
 * are mixed in, so that copies with the same kernel random state differ as well: time stamp counters of two
 * guests are never equal for long.
 *
 *   fork_detector ADDRESS PORT
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <x86intrin.h>

enum { kInterval = 10 * 1000 * 1000 /* ns */ };

static uint64_t fresh_nonce(void) {
  uint64_t nonce = 0;
  /* Without waiting: a machine that has just booted may have no good random numbers for a while. */
  if (getrandom(&nonce, sizeof nonce, GRND_INSECURE) != sizeof nonce) nonce = 0;
  return nonce ^ (__rdtsc() * 0x9e3779b97f4a7c15ULL);
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  struct sockaddr_in monitor = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2]))};
  inet_pton(AF_INET, arguments[1], &monitor.sin_addr);
  const int file = socket(AF_INET, SOCK_DGRAM, 0);
  struct timespec next;
  clock_gettime(CLOCK_MONOTONIC, &next);
  /* One that is booted again is no second copy: it begins where the first did not come to. */
  for (uint64_t sequence = (uint64_t)time(NULL) * 1000;; ++sequence) {
    char line[64];
    const int size = snprintf(line, sizeof line, "%llu %016llx\n", (unsigned long long)sequence,
                              (unsigned long long)fresh_nonce());
    sendto(file, line, size, 0, (struct sockaddr*)&monitor, sizeof monitor);
    next.tv_nsec += kInterval;
    if (next.tv_nsec >= 1000000000) {
      next.tv_nsec -= 1000000000;
      ++next.tv_sec;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
  }
}
