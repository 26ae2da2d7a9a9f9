/* Fills memory with content of a kind and writes into it, for benchmarks. Nothing happens until it is asked;
 * a line on TCP port 9002 is answered with one line:
 *
 * - fill KIND MIB: "filled=PAGES". Once. KIND is random, text (words, as in logs) or duplicates (each page
 * four times)
 * - write BYTES RATE: "rate=RATE". From now on so many random bytes, to RATE random pages a second
 * - count: "writes=N", since the beginning
 * - scan: "pages=N bad=B". Compares each page with a sum that is kept elsewhere in memory
 * - spoil INDEX: "spoiled=INDEX". Makes that page wrong, to see that it is found
 * - warm PATH: "bytes=N". Reads all files below PATH, so that the page cache holds them
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
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

enum { kPort = 9002, kPageSize = 4096, kWords = kPageSize / 8, kCopies = 4, kSpots = 4 };
enum { kVocabulary = 4096, kLongestWord = 12 };
enum { kTick = 1000000 /* ns */, kLongestDebt = 100000000 /* ns */ };

struct region {
  uint64_t (*pages)[kWords];
  uint64_t* sums; /* by page */
  uint64_t count;
  uint64_t random;
  uint64_t write_words;
  uint64_t rate; /* pages a second */
  uint64_t writes;
};

static uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

/* A sum of such terms changes with any word, and can be kept up to date without reading the whole page. */
static uint64_t term(uint64_t index, uint64_t word) {
  const uint64_t mixed = (word ^ (index * 0x9e3779b97f4a7c15ULL)) * 0xd6e8feb86659fd93ULL;
  return mixed ^ (mixed >> 32);
}

static uint64_t sum_of(const uint64_t* page) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kWords; ++i) sum += term(i, page[i]);
  return sum;
}

static void fill_random(struct region* region, uint64_t index) {
  for (int i = 0; i < kWords; ++i) region->pages[index][i] = next_random(&region->random);
}

/* Words of a made-up language; the first of the vocabulary are the most frequent. */
static void fill_text(struct region* region, uint64_t index) {
  static char vocabulary[kVocabulary][kLongestWord + 1];
  char* text = (char*)region->pages[index];
  int used = 0;
  for (int i = 0; vocabulary[kVocabulary - 1][0] == '\0' && i < kVocabulary; ++i) {
    const int length = 2 + next_random(&region->random) % (kLongestWord - 1);
    for (int k = 0; k < length; ++k) vocabulary[i][k] = 'a' + next_random(&region->random) % 26;
  }
  while (used < kPageSize) {
    const uint64_t drawn = next_random(&region->random);
    const char* word = vocabulary[(drawn % kVocabulary) * ((drawn >> 32) % kVocabulary) / kVocabulary];
    for (; *word != '\0' && used < kPageSize; ++word) text[used++] = *word;
    if (used < kPageSize) text[used++] = drawn >> 60 == 0 ? '\n' : ' ';
  }
}

/* The copies are far from each other, as those of two processes are. */
static void fill_duplicate(struct region* region, uint64_t index) {
  const uint64_t distinct = (region->count + kCopies - 1) / kCopies;
  if (index < distinct) {
    fill_random(region, index);
  } else {
    memcpy(region->pages[index], region->pages[index % distinct], kPageSize);
  }
}

static int fill(struct region* region, const char* kind, uint64_t mebibytes) {
  void (*const filler)(struct region*, uint64_t) = strcmp(kind, "random") == 0       ? fill_random
                                                   : strcmp(kind, "text") == 0       ? fill_text
                                                   : strcmp(kind, "duplicates") == 0 ? fill_duplicate
                                                                                     : NULL;
  if (filler == NULL || region->count != 0 || mebibytes == 0 || mebibytes > 65536) return -1;
  const uint64_t count = mebibytes * 256;
  const int access = PROT_READ | PROT_WRITE;
  void* pages = mmap(NULL, count * kPageSize, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* sums = mmap(NULL, count * sizeof(uint64_t), access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || sums == MAP_FAILED) return -1;
  region->pages = pages;
  region->sums = sums;
  region->count = count;
  for (uint64_t i = 0; i < count; ++i) {
    filler(region, i);
    region->sums[i] = sum_of(region->pages[i]);
  }
  return 0;
}

/* A page has few spots that change, as records with counters do: it keeps its kind however long this goes. */
static void write_some(struct region* region, uint64_t pages) {
  const uint64_t spots = kWords / region->write_words < kSpots ? kWords / region->write_words : kSpots;
  region->writes += pages;
  for (; pages > 0; --pages) {
    const uint64_t index = next_random(&region->random) % region->count;
    uint64_t* page = region->pages[index];
    uint64_t at = next_random(&region->random) % spots * (kWords / spots);
    uint64_t change = 0;
    for (const uint64_t end = at + region->write_words; at < end; ++at) {
      change -= term(at, page[at]);
      page[at] = next_random(&region->random);
      change += term(at, page[at]);
    }
    region->sums[index] += change;
  }
}

static uint64_t count_bad(const struct region* region) {
  uint64_t bad = 0;
  for (uint64_t i = 0; i < region->count; ++i) bad += sum_of(region->pages[i]) != region->sums[i];
  return bad;
}

static unsigned long long warmed; /* nftw gives its function no place for this */

static int read_file(const char* path, const struct stat* status, int kind, struct FTW* where) {
  static char buffer[1 << 16];
  (void)where;
  if (kind != FTW_F || !S_ISREG(status->st_mode)) return 0;
  const int file = open(path, O_RDONLY | O_NOFOLLOW);
  for (ssize_t size; file >= 0 && (size = read(file, buffer, sizeof buffer)) > 0;) warmed += size;
  if (file >= 0) close(file);
  return 0;
}

static int answer_line(struct region* region, const char* line, char* answer, size_t size) {
  char word[65];
  unsigned long long first = 0;
  unsigned long long second = 0;
  if (sscanf(line, "fill %64s %llu", word, &first) == 2 && fill(region, word, first) == 0) {
    return snprintf(answer, size, "filled=%llu\n", (unsigned long long)region->count);
  }
  if (sscanf(line, "write %llu %llu", &first, &second) == 2 && first >= 8 && first <= kPageSize &&
      region->count != 0) {
    region->write_words = first / 8;
    region->rate = second;
    return snprintf(answer, size, "rate=%llu\n", second);
  }
  if (strncmp(line, "count", 5) == 0) {
    return snprintf(answer, size, "writes=%llu\n", (unsigned long long)region->writes);
  }
  if (strncmp(line, "scan", 4) == 0) {
    return snprintf(answer, size, "pages=%llu bad=%llu\n", (unsigned long long)region->count,
                    (unsigned long long)count_bad(region));
  }
  if (sscanf(line, "spoil %llu", &first) == 1 && first < region->count) {
    region->pages[first][kWords - 1] ^= 1;
    return snprintf(answer, size, "spoiled=%llu\n", first);
  }
  if (sscanf(line, "warm %64s", word) == 1) {
    warmed = 0;
    nftw(word, read_file, 16, FTW_PHYS | FTW_MOUNT);
    return snprintf(answer, size, "bytes=%llu\n", warmed);
  }
  return snprintf(answer, size, "unknown\n");
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* Writes what is due since `last`, and gives the time up to which all is written. What a longer pause has
 * left undone stays undone, so that it can be measured. */
static uint64_t write_due(struct region* region, uint64_t last) {
  const uint64_t time = now();
  if (region->rate == 0) return time;
  if (time - last > kLongestDebt) last = time - kLongestDebt;
  const uint64_t due = region->rate * (time - last) / 1000000000;
  write_some(region, due);
  return last + due * 1000000000 / region->rate;
}

static void serve(struct region* region, int listener) {
  char line[128];
  char answer[128];
  /* One line a connection: whoever connects and says nothing must not hold up the writing for long. */
  const struct timeval patience = {2, 0};
  const int connection = accept(listener, NULL, NULL);
  if (connection < 0) return;
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const ssize_t size = read(connection, line, sizeof line - 1);
  if (size > 0 && line[size - 1] == '\n') {
    line[size] = '\0';
    const int length = answer_line(region, line, answer, sizeof answer);
    if (write(connection, answer, length) != length) perror("workload: answer");
  }
  close(connection);
}

int main(void) {
  struct region region = {.random = now() | 1, .write_words = 1};
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort)};
  const int yes = 1;
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  signal(SIGPIPE, SIG_IGN);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) != 0 || listen(listener, 8) != 0) {
    perror("workload: port");
    return 1;
  }
  uint64_t last = now();
  for (;;) {
    struct pollfd file = {listener, POLLIN, 0};
    const struct timespec tick = {0, kTick};
    const int ready = ppoll(&file, 1, region.rate == 0 ? NULL : &tick, NULL);
    last = write_due(&region, last);
    if (ready > 0) serve(&region, listener);
  }
}
