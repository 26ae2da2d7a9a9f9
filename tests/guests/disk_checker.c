/* Writes numbered blocks to a disk all the time, past the guest's page cache, and can tell whether each block
 * that was written holds what the disk last acknowledged for it. The disk has to be all zeros at first.
 *
 *   disk_checker DEVICE MIB WRITES_PER_SECOND
 *
 * Every block of 4 KiB is a header of four 64-bit words (its index, the number of the write, the epoch of
 * this process, a checksum of the whole block) and words drawn from index and number. What was acknowledged
 * is kept in memory. A move that loses a write, brings an older one back, or lets two copies of the guest
 * write is seen. Several writers, each with blocks of its own, so that some writes are under way whenever the
 * guest is stopped; now and then one asks for a flush.
 *
 * One line a connection on TCP port 9003 is answered with one line:
 *
 * - scan: "blocks=N written=W bad=B sequence=S [first=INDEX:WHY]". Reads all blocks while nobody writes
 * - rate WRITES: "rate=WRITES". A second, from now on; after 0 no write is under way
 * - lose: "lost=INDEX". Takes a write for acknowledged that is never made, to see that it is found
 * - sequence: "sequence=S". The number of the last write
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  kPort = 9003,
  kBlockSize = 4096,
  kWords = kBlockSize / 8,
  kHeader = 4,
  kWriters = 4,
  kWritesPerFlush = 16
};
enum { kIndex, kSequence, kEpoch, kChecksum };
enum { kBlocksPerRead = 64 };

struct disk {
  int file;
  uint64_t count;         /* blocks */
  uint64_t* acknowledged; /* number of the last write by block; 0: none */
  uint64_t epoch;
  atomic_ullong sequence;
  atomic_ullong rate; /* writes a second, of all writers together */
};

struct writer {
  struct disk* disk;
  uint64_t number;
  pthread_mutex_t writing; /* held during a write */
};

static uint64_t next_random(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static uint64_t checksum(const uint64_t* block) {
  uint64_t sum = 0x243f6a8885a308d3ULL;
  for (int i = 0; i < kWords; ++i) {
    if (i == kChecksum) continue;
    sum = ((sum << 5) | (sum >> 59)) ^ block[i];
    sum *= 0x9e3779b97f4a7c15ULL;
  }
  return sum;
}

static void fail(const char* what) {
  perror(what);
  _exit(1);
}

static uint64_t* allocate_blocks(uint64_t count) {
  void* memory = NULL;
  if (posix_memalign(&memory, kBlockSize, count * kBlockSize) != 0) fail("disk_checker: memory");
  return memory;
}

static void write_block(struct disk* disk, uint64_t* block, uint64_t index) {
  const uint64_t sequence = atomic_fetch_add(&disk->sequence, 1) + 1;
  uint64_t state = (index + 1) * 0x9e3779b97f4a7c15ULL ^ sequence;
  block[kIndex] = index;
  block[kSequence] = sequence;
  block[kEpoch] = disk->epoch;
  for (int i = kHeader; i < kWords; ++i) block[i] = next_random(&state);
  block[kChecksum] = checksum(block);
  if (pwrite(disk->file, block, kBlockSize, (off_t)(index * kBlockSize)) != kBlockSize)
    fail("disk_checker: write");
  disk->acknowledged[index] = sequence;
}

static void wait_for_turn(const struct disk* disk) {
  const uint64_t rate = atomic_load(&disk->rate);
  /* With nothing to write it looks ten times a second whether there is. */
  const uint64_t pause = rate == 0 ? 100000000 : 1000000000ULL * kWriters / rate;
  const struct timespec time = {(time_t)(pause / 1000000000), (long)(pause % 1000000000)};
  nanosleep(&time, NULL);
}

static void* run_writer(void* argument) {
  struct writer* writer = argument;
  struct disk* disk = writer->disk;
  uint64_t* block = allocate_blocks(1);
  uint64_t random = disk->epoch + writer->number;
  for (uint64_t count = 1;; ++count) {
    wait_for_turn(disk);
    pthread_mutex_lock(&writer->writing);
    if (atomic_load(&disk->rate) != 0) {
      const uint64_t index = next_random(&random) % (disk->count / kWriters) * kWriters + writer->number;
      write_block(disk, block, index);
      if (count % kWritesPerFlush == 0 && fdatasync(disk->file) != 0) fail("disk_checker: flush");
    }
    pthread_mutex_unlock(&writer->writing);
  }
  return NULL;
}

/* Why a block is wrong, or NULL. */
static const char* fault(const struct disk* disk, const uint64_t* block, uint64_t index) {
  const uint64_t acknowledged = disk->acknowledged[index];
  if (acknowledged == 0) {
    for (int i = 0; i < kWords; ++i) {
      if (block[i] != 0) return "not-zero";
    }
    return NULL;
  }
  if (block[kChecksum] != checksum(block)) return "checksum";
  if (block[kIndex] != index) return "index";
  if (block[kEpoch] != disk->epoch) return "epoch";
  if (block[kSequence] < acknowledged) return "old";
  if (block[kSequence] != acknowledged) return "new";
  return NULL;
}

static void hold(struct writer* writers) {
  for (int i = 0; i < kWriters; ++i) pthread_mutex_lock(&writers[i].writing);
}

static void release(struct writer* writers) {
  for (int i = 0; i < kWriters; ++i) pthread_mutex_unlock(&writers[i].writing);
}

static int scan(const struct disk* disk, char* answer, size_t size) {
  static uint64_t* blocks;
  uint64_t written = 0;
  uint64_t bad = 0;
  uint64_t first = 0;
  const char* why = NULL;
  if (blocks == NULL) blocks = allocate_blocks(kBlocksPerRead);
  for (uint64_t i = 0; i < disk->count; ++i) {
    const uint64_t place = i % kBlocksPerRead;
    const ssize_t wanted = kBlocksPerRead * kBlockSize;
    if (place == 0 && pread(disk->file, blocks, wanted, (off_t)(i * kBlockSize)) != wanted)
      fail("disk_checker: read");
    const char* found = fault(disk, blocks + place * kWords, i);
    written += disk->acknowledged[i] != 0;
    if (found != NULL && bad++ == 0) {
      first = i;
      why = found;
    }
  }
  const int length = snprintf(answer, size, "blocks=%llu written=%llu bad=%llu sequence=%llu",
                              (unsigned long long)disk->count, (unsigned long long)written,
                              (unsigned long long)bad, (unsigned long long)atomic_load(&disk->sequence));
  if (why == NULL) return length + snprintf(answer + length, size - length, "\n");
  return length +
         snprintf(answer + length, size - length, " first=%llu:%s\n", (unsigned long long)first, why);
}

static int answer_line(struct writer* writers, const char* line, char* answer, size_t size) {
  struct disk* disk = writers->disk;
  unsigned long long rate = 0;
  int length = 0;
  hold(writers);
  if (strncmp(line, "scan", 4) == 0) {
    length = scan(disk, answer, size);
  } else if (sscanf(line, "rate %llu", &rate) == 1) {
    atomic_store(&disk->rate, rate);
    length = snprintf(answer, size, "rate=%llu\n", rate);
  } else if (strncmp(line, "lose", 4) == 0) {
    disk->acknowledged[0] = atomic_fetch_add(&disk->sequence, 1) + 1;
    length = snprintf(answer, size, "lost=0\n");
  } else if (strncmp(line, "sequence", 8) == 0) {
    length = snprintf(answer, size, "sequence=%llu\n", (unsigned long long)atomic_load(&disk->sequence));
  } else {
    length = snprintf(answer, size, "unknown\n");
  }
  release(writers);
  return length;
}

static void serve(struct writer* writers, int listener) {
  char line[128];
  char answer[128];
  const struct timeval patience = {1, 0};
  const int connection = accept(listener, NULL, NULL);
  if (connection < 0) return;
  setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const ssize_t size = read(connection, line, sizeof line - 1);
  if (size > 0 && line[size - 1] == '\n') {
    line[size] = '\0';
    const int length = answer_line(writers, line, answer, sizeof answer);
    if (write(connection, answer, length) != length) perror("disk_checker: answer");
  }
  close(connection);
}

static int open_listener(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort)};
  const int yes = 1;
  const int file = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(file, (struct sockaddr*)&address, sizeof address) != 0 || listen(file, 8) != 0)
    fail("disk_checker: port");
  return file;
}

int main(int count, char** arguments) {
  struct disk disk = {.sequence = 0};
  struct writer writers[kWriters];
  struct timespec time;
  if (count != 4) return 2;
  disk.file = open(arguments[1], O_RDWR | O_DIRECT);
  if (disk.file < 0) fail("disk_checker: disk");
  disk.count = strtoull(arguments[2], NULL, 10) * 256;
  disk.rate = strtoull(arguments[3], NULL, 10);
  disk.acknowledged = calloc(disk.count, sizeof(uint64_t));
  if (disk.acknowledged == NULL || disk.count == 0) fail("disk_checker: size");
  clock_gettime(CLOCK_MONOTONIC, &time);
  disk.epoch = ((uint64_t)time.tv_sec * 1000000000 + time.tv_nsec) | 1;
  signal(SIGPIPE, SIG_IGN);
  const int listener = open_listener();
  for (uint64_t i = 0; i < kWriters; ++i) {
    pthread_t thread;
    writers[i] = (struct writer){.disk = &disk, .number = i, .writing = PTHREAD_MUTEX_INITIALIZER};
    if (pthread_create(&thread, NULL, run_writer, &writers[i]) != 0) fail("disk_checker: thread");
  }
  for (;;) serve(writers, listener);
}
