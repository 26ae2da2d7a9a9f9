/* Fills a region of memory with pages that can tell whether they are what was last written there, and goes on
 * writing.
 *
 *   memory_checker MIB PAGES_PER_SECOND
 *
 * Every page is a header of four 64-bit words (its index, the sequence number of the write, the epoch of this
 * process, a checksum of the whole page) and words drawn from index and sequence. A table in the same guest
 * memory says what was last written to each page. A migration that loses, mixes up or brings back the content
 * of a page is seen: by the checksum (torn), the index (elsewhere), or the sequence number (old).
 *
 * By index modulo 8: 0 is written once and never again; 1 is now and then made all zeros; the rest is written
 * in random order. A line on TCP port 9000 is answered with one line: scan            pages=N bad=B
 * sequence=S [first=INDEX:WHY]     looks at all pages rate PAGES      rate=PAGES a second, from now on spoil
 * INDEX     spoiled=INDEX                                  makes that page wrong, to see that it is found
 *   sequence        sequence=S                                     without looking at memory
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kPort = 9000, kPageSize = 4096, kWords = kPageSize / 8, kHeader = 4, kKinds = 8, kConnections = 8 };
enum { kIndex, kSequence, kEpoch, kChecksum };
enum { kTick = 1000000 /* ns */ };

struct region {
  uint64_t (*pages)[kWords];
  uint64_t* written; /* sequence number of the last write by page; 0: all zeros */
  uint64_t count;
  uint64_t sequence;
  uint64_t epoch;
  uint64_t random;
  uint64_t rate; /* pages a second */
};

static uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static uint64_t checksum(const uint64_t* page) {
  uint64_t sum = 0x243f6a8885a308d3ULL;
  for (int i = 0; i < kWords; ++i) {
    if (i == kChecksum) continue;
    sum = ((sum << 5) | (sum >> 59)) ^ page[i];
    sum *= 0x9e3779b97f4a7c15ULL;
  }
  return sum;
}

static void write_page(struct region* region, uint64_t index) {
  uint64_t* page = region->pages[index];
  uint64_t state = (index + 1) * 0x9e3779b97f4a7c15ULL ^ ++region->sequence;
  page[kIndex] = index;
  page[kSequence] = region->sequence;
  page[kEpoch] = region->epoch;
  for (int i = kHeader; i < kWords; ++i) page[i] = next_random(&state);
  page[kChecksum] = checksum(page);
  region->written[index] = region->sequence;
}

static void write_zeros(struct region* region, uint64_t index) {
  memset(region->pages[index], 0, kPageSize);
  region->written[index] = 0;
  ++region->sequence;
}

/* Why a page is wrong, or NULL. */
static const char* fault(const struct region* region, uint64_t index) {
  const uint64_t* page = region->pages[index];
  if (region->written[index] == 0) {
    for (int i = 0; i < kWords; ++i) {
      if (page[i] != 0) return "not-zero";
    }
    return NULL;
  }
  if (page[kChecksum] != checksum(page)) return "checksum";
  if (page[kIndex] != index) return "index";
  if (page[kEpoch] != region->epoch) return "epoch";
  if (page[kSequence] < region->written[index]) return "old";
  if (page[kSequence] != region->written[index]) return "new";
  return NULL;
}

static void write_some(struct region* region, uint64_t pages) {
  for (; pages > 0; --pages) {
    const uint64_t index = next_random(&region->random) % region->count;
    const uint64_t kind = index % kKinds;
    if (kind == 0) continue;
    if (kind == 1 && (region->sequence & 1) == 0) {
      write_zeros(region, index);
    } else {
      write_page(region, index);
    }
  }
}

static int scan(const struct region* region, char* answer, size_t size) {
  uint64_t bad = 0;
  uint64_t first = 0;
  const char* why = NULL;
  for (uint64_t i = 0; i < region->count; ++i) {
    const char* found = fault(region, i);
    if (found != NULL && bad++ == 0) {
      first = i;
      why = found;
    }
  }
  const int length =
      snprintf(answer, size, "pages=%llu bad=%llu sequence=%llu", (unsigned long long)region->count,
               (unsigned long long)bad, (unsigned long long)region->sequence);
  if (why == NULL) return length + snprintf(answer + length, size - length, "\n");
  return length +
         snprintf(answer + length, size - length, " first=%llu:%s\n", (unsigned long long)first, why);
}

static int answer_line(struct region* region, const char* line, char* answer, size_t size) {
  unsigned long long rate = 0;
  unsigned long long index = 0;
  if (strncmp(line, "scan", 4) == 0) return scan(region, answer, size);
  if (sscanf(line, "rate %llu", &rate) == 1) {
    region->rate = rate;
    return snprintf(answer, size, "rate=%llu\n", rate);
  }
  if (sscanf(line, "spoil %llu", &index) == 1 && index < region->count) {
    region->pages[index][kWords - 1] ^= 1;
    return snprintf(answer, size, "spoiled=%llu\n", index);
  }
  if (strncmp(line, "sequence", 8) == 0) {
    return snprintf(answer, size, "sequence=%llu\n", (unsigned long long)region->sequence);
  }
  return snprintf(answer, size, "unknown\n");
}

/* Lines are short and come in one piece; whoever sends others is hung up on. */
static int serve(struct region* region, int connection) {
  char line[128];
  char answer[128];
  const ssize_t size = read(connection, line, sizeof line - 1);
  if (size <= 0 || line[size - 1] != '\n') return -1;
  line[size] = '\0';
  const int length = answer_line(region, line, answer, sizeof answer);
  return write(connection, answer, length) == length ? 0 : -1;
}

static int open_listener(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort)};
  const int yes = 1;
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(file, (struct sockaddr*)&address, sizeof address) != 0 || listen(file, kConnections) != 0) {
    perror("memory_checker: port");
    _exit(1);
  }
  return file;
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void* allocate(uint64_t size) {
  void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    perror("memory_checker: memory");
    _exit(1);
  }
  return memory;
}

static void fill(struct region* region) {
  for (uint64_t i = 0; i < region->count; ++i) {
    if (i % kKinds == 1) {
      write_zeros(region, i);
    } else {
      write_page(region, i);
    }
  }
}

/* Writes what is due since `last`; after a pause (a scan, a stopped machine) only what is due for 100 ms.
 * Gives the time up to which all is written. */
static uint64_t write_due(struct region* region, uint64_t last) {
  const uint64_t time = now();
  if (region->rate == 0) return time;
  if (time - last > 100000000) last = time - 100000000;
  const uint64_t due = region->rate * (time - last) / 1000000000;
  write_some(region, due);
  return last + due * 1000000000 / region->rate;
}

static void run(struct region* region) {
  struct pollfd files[1 + kConnections];
  int count = 1;
  uint64_t last = now();
  files[0] = (struct pollfd){open_listener(), POLLIN, 0};
  for (;;) {
    const struct timespec tick = {0, kTick};
    files[0].events = count < 1 + kConnections ? POLLIN : 0;
    const int ready = ppoll(files, count, &tick, NULL);
    last = write_due(region, last);
    if (ready <= 0) continue;
    for (int i = count - 1; i >= 1; --i) {
      if (files[i].revents != 0 && serve(region, files[i].fd) != 0) {
        close(files[i].fd);
        files[i] = files[--count];
      }
    }
    if (files[0].revents & POLLIN) {
      const int connection = accept(files[0].fd, NULL, NULL);
      if (connection >= 0) files[count++] = (struct pollfd){connection, POLLIN, 0};
    }
  }
}

int main(int count, char** arguments) {
  if (count != 3) return 2;
  struct region region = {.count = strtoull(arguments[1], NULL, 10) * 256,
                          .rate = strtoull(arguments[2], NULL, 10)};
  region.epoch = now() | 1;
  region.random = region.epoch;
  region.pages = allocate(region.count * kPageSize);
  region.written = allocate(region.count * sizeof(uint64_t));
  signal(SIGPIPE, SIG_IGN);
  fill(&region);
  run(&region);
}
