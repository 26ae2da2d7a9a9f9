#include "peer/greetings.hpp"

#include <algorithm>
#include <map>

#include <fcntl.h>
#include <sys/socket.h>

#include "base/thread_name.hpp"
#include "peer/tcp.hpp"

namespace vmigrate::peer {
namespace {

constexpr const char* kTooMany = "too many connections at once";
// From one address, which nobody takes for a flood: a session that has lost all of its connections.
constexpr std::size_t kOrdinary = 16;

std::string without_port(const std::string& address) {
  return address.substr(0, address.rfind(':'));
}

}  // namespace

Greetings::~Greetings() {
  for (auto& greeting : greetings_) greeting.thread.join();
}

void Greetings::begin(FileDescriptor connection) {
  const auto address = remote_address(connection);
  FileDescriptor same(::fcntl(connection.get(), F_DUPFD_CLOEXEC, 0));
  std::unique_lock lock(mutex_);
  if (!same || !make_room()) {
    lock.unlock();
    return tell_({{"", address}, kTooMany});
  }
  auto& greeting = greetings_.emplace_back(Greeting{without_port(address), std::move(same)});
  auto shared = std::make_shared<FileDescriptor>(std::move(connection));
  greeting.thread = std::thread([this, &greeting, shared] { run(greeting, std::move(*shared)); });
}

/// False when those that had to go have not yet gone.
bool Greetings::make_room() {
  if (greetings_.size() >= 2 * kMost) return false;
  std::map<std::string, std::size_t> held;
  for (const auto& greeting : greetings_)
    if (!greeting.displaced && !greeting.finished) ++held[greeting.address];
  std::size_t all = 0;
  std::size_t most = 0;
  for (const auto& [address, count] : held) {
    all += count;
    most = std::max(most, count);
  }
  if (all < kMost) return true;
  const std::size_t least = most > kOrdinary ? most : 0;
  const auto oldest = std::find_if(greetings_.begin(), greetings_.end(), [&](const Greeting& greeting) {
    return !greeting.displaced && !greeting.finished && held[greeting.address] >= least;
  });
  oldest->displaced = true;
  ::shutdown(oldest->connection.get(), SHUT_RDWR);
  return true;
}

void Greetings::run(Greeting& greeting, FileDescriptor connection) {
  name_this_thread("greeting");
  auto away = greet_(std::move(connection));
  std::unique_lock lock(mutex_);
  if (away && greeting.displaced) away->reason = kTooMany;
  lock.unlock();
  if (away) tell_(*away);
  lock.lock();
  greeting.connection.reset();
  greeting.finished = true;
}

void Greetings::reap() {
  std::list<Greeting> gone;
  {
    const std::lock_guard lock(mutex_);
    for (auto greeting = greetings_.begin(); greeting != greetings_.end();) {
      const auto next = std::next(greeting);
      if (greeting->finished) gone.splice(gone.end(), greetings_, greeting);
      greeting = next;
    }
  }
  for (auto& greeting : gone) greeting.thread.join();
}

}  // namespace vmigrate::peer
