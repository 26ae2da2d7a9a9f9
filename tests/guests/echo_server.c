/* Answers on TCP and UDP port 7 with what it gets. One thread, some connections: what a held connection
 * needs. */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { kPort = 7, kConnections = 32, kBuffer = 65536 };

static int open_socket(int type) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(kPort)};
  const int yes = 1;
  const int file = socket(AF_INET, type, 0);
  setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(file, (struct sockaddr*)&address, sizeof address) != 0) {
    perror("echo_server: bind");
    _exit(1);
  }
  return file;
}

static int send_all(int file, const char* data, ssize_t size) {
  while (size > 0) {
    const ssize_t sent = write(file, data, size);
    if (sent <= 0) return -1;
    data += sent;
    size -= sent;
  }
  return 0;
}

static void answer_datagram(int file) {
  static char buffer[kBuffer];
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  const ssize_t size = recvfrom(file, buffer, sizeof buffer, 0, (struct sockaddr*)&from, &length);
  if (size >= 0) sendto(file, buffer, size, 0, (struct sockaddr*)&from, length);
}

static int answer_stream(int file) {
  static char buffer[kBuffer];
  const ssize_t size = read(file, buffer, sizeof buffer);
  return size > 0 ? send_all(file, buffer, size) : -1;
}

int main(void) {
  struct pollfd files[2 + kConnections];
  int count = 2;
  signal(SIGPIPE, SIG_IGN);
  files[0] = (struct pollfd){open_socket(SOCK_STREAM), POLLIN, 0};
  files[1] = (struct pollfd){open_socket(SOCK_DGRAM), POLLIN, 0};
  listen(files[0].fd, kConnections);
  for (;;) {
    /* With all places taken, new connections wait in the kernel's queue. */
    files[0].events = count < 2 + kConnections ? POLLIN : 0;
    if (poll(files, count, -1) < 0) continue;
    for (int i = count - 1; i >= 2; --i) {
      if (files[i].revents != 0 && answer_stream(files[i].fd) != 0) {
        close(files[i].fd);
        files[i] = files[--count];
      }
    }
    if (files[1].revents & POLLIN) answer_datagram(files[1].fd);
    if (files[0].revents & POLLIN) {
      const int connection = accept(files[0].fd, NULL, NULL);
      if (connection >= 0) files[count++] = (struct pollfd){connection, POLLIN, 0};
    }
  }
}
