#include "qemu_process.hpp"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmigrate::stream {
namespace {

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

int listen_at(const std::string& path) {
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = address_of(path);
  if (::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(descriptor, 4) != 0) {
    throw std::runtime_error("cannot listen at " + path);
  }
  return descriptor;
}

int connect_to(const std::string& path) {
  const int descriptor = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = address_of(path);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot connect to " + path);
  }
  return descriptor;
}

/// Whether the description of the VM, which comes last, has come whole: 06, its length, and so many bytes of
/// JSON.
bool ends_with_description(const ByteBuffer& stream) {
  const auto text = as_text(stream);
  const auto start = text.rfind(std::string_view("\x00\x06", 2));
  if (start == std::string_view::npos || start + 6 > text.size()) return false;
  std::size_t length = 0;
  for (std::size_t i = start + 2; i < start + 6; ++i)
    length = length << 8 | static_cast<unsigned char>(text[i]);
  return start + 6 + length == text.size();
}

}  // namespace

QemuProcess::QemuProcess(std::vector<std::string> arguments) {
  std::string pattern = (std::filesystem::temp_directory_path() / "vmigrate-qemu-XXXXXX").string();
  folder_ = ::mkdtemp(pattern.data());
  // QEMU connects to us, so that there is nothing to wait for.
  const std::string qmp = folder_ + "/qmp";
  const int listener = listen_at(qmp);
  std::vector<std::string> words{"qemu-system-x86_64",
                                 "-accel",
                                 "tcg",
                                 "-display",
                                 "none",
                                 "-nodefaults",
                                 "-chardev",
                                 "socket,id=qmp,path=" + qmp,
                                 "-mon",
                                 "chardev=qmp,mode=control"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  if (::posix_spawnp(&process_, argv[0], nullptr, nullptr, argv.data(), environ) != 0) {
    throw std::runtime_error("cannot start qemu-system-x86_64");
  }
  qmp_ = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  ::close(listener);
  read_message();
  command("qmp_capabilities");
}

QemuProcess::~QemuProcess() {
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  ::close(qmp_);
  std::filesystem::remove_all(folder_);
}

nlohmann::json QemuProcess::read_message() {
  for (;;) {
    if (const auto end = received_.find('\n'); end != std::string::npos) {
      auto message = nlohmann::json::parse(received_.substr(0, end));
      received_.erase(0, end + 1);
      return message;
    }
    std::array<char, 4096> chunk;
    const auto count = ::read(qmp_, chunk.data(), chunk.size());
    if (count <= 0) throw std::runtime_error("QEMU closed its QMP connection");
    received_.append(chunk.data(), static_cast<std::size_t>(count));
  }
}

nlohmann::json QemuProcess::command(const std::string& name, const nlohmann::json& arguments) {
  const std::string text = nlohmann::json{{"execute", name}, {"arguments", arguments}}.dump() + "\n";
  if (::write(qmp_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    throw std::runtime_error("cannot write to QMP");
  }
  for (;;) {
    auto message = read_message();
    if (message.contains("return")) return message["return"];
    if (message.contains("error")) throw std::runtime_error(name + ": " + message["error"].dump());
  }
}

void QemuProcess::set_capability(const std::string& name) {
  command("migrate-set-capabilities", {{"capabilities", {{{"capability", name}, {"state", true}}}}});
}

std::string QemuProcess::await_migration() {
  for (;;) {
    std::string status = command("query-migrate").value("status", "none");
    if (status == "completed" || status == "failed" || status == "cancelled") return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // QMP has no call that waits
  }
}

ByteBuffer QemuProcess::capture(bool answer_return_path) {
  const std::string path = folder_ + "/out";
  const int listener = listen_at(path);
  command("migrate", {{"uri", "unix:" + path}});
  const int stream = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  ::close(listener);
  ByteBuffer bytes;
  std::array<std::byte, 65536> chunk;
  bool answered = !answer_return_path;
  for (;;) {
    const auto count = ::read(stream, chunk.data(), chunk.size());
    if (count <= 0) break;
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + count);
    static constexpr std::array<unsigned char, 8> kShut{0, 1, 0, 4, 0, 0, 0, 0};
    if (!answered && ends_with_description(bytes)) answered = ::write(stream, kShut.data(), kShut.size()) > 0;
  }
  ::close(stream);
  return bytes;
}

std::vector<ByteBuffer> QemuProcess::capture_connections(std::size_t count) {
  const std::string path = folder_ + "/out";
  const int listener = listen_at(path);
  command("migrate", {{"uri", "unix:" + path}});
  std::vector<ByteBuffer> streams(count);
  std::vector<std::jthread> readers;
  for (auto& bytes : streams) {
    const int stream = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    readers.emplace_back([stream, &bytes] {
      std::array<std::byte, 65536> chunk;
      for (ssize_t got = ::read(stream, chunk.data(), chunk.size()); got > 0;
           got = ::read(stream, chunk.data(), chunk.size())) {
        bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + got);
      }
      ::close(stream);
    });
  }
  ::close(listener);
  readers.clear();
  return streams;
}

std::string QemuProcess::load(const ByteBuffer& stream) {
  const std::string path = folder_ + "/in";
  command("migrate-incoming", {{"uri", "unix:" + path}});
  const int descriptor = connect_to(path);
  ByteView rest(stream);
  while (!rest.empty()) {
    const auto count = ::send(descriptor, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (count <= 0) break;
    rest = rest.subspan(static_cast<std::size_t>(count));
  }
  ::shutdown(descriptor, SHUT_WR);
  auto status = await_migration();
  ::close(descriptor);
  return status;
}

}  // namespace vmigrate::stream
