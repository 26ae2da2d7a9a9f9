#include "microvm/console.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/thread_name.hpp"

namespace vmigrate::microvm {
namespace {

// How long a thread of the console may take to see that it is to end, or that the guest runs again.
constexpr std::chrono::milliseconds kConsoleLook{50};
constexpr std::size_t kLongestName = 100;

void write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(file, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;  // a full disk must not stop the guest
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

}  // namespace

Result<> check_name(const std::string& name) {
  const auto fits = [](unsigned char letter) {
    return std::isalnum(letter) != 0 || letter == '-' || letter == '_' || letter == '.';
  };
  if (name.empty() || name.size() > kLongestName || name.front() == '.' || !std::ranges::all_of(name, fits)) {
    return fail(ErrorCode::usage, fmt::format("'{}' cannot be a VM's name", name),
                "letters, digits, '-', '_' and '.' are possible, up to 100 of them");
  }
  return {};
}

Result<std::unique_ptr<Console>> Console::create(VirtualMachine& vm, const std::string& folder,
                                                 const std::string& name, std::function<void()> ended) {
  auto console = std::unique_ptr<Console>(new Console(vm, std::move(ended)));
  if (auto opened = console->open_files(folder, name); !opened) return fail(opened.error());
  auto* self = console.get();
  console->output_thread_ = std::jthread([self](const std::stop_token& stop) { self->show(stop); });
  if (console->input_)
    console->input_thread_ = std::jthread([self](const std::stop_token& stop) { self->type(stop); });
  return console;
}

Console::~Console() {
  output_thread_ = {};
  input_thread_ = {};
  flush();
}

Result<> Console::open_files(const std::string& folder, const std::string& name) {
  if (folder.empty()) {
    output_ = FileDescriptor(::dup(STDOUT_FILENO));
    return {};
  }
  if (auto checked = check_name(name); !checked) return checked;
  const auto output = folder + "/" + name + ".console";
  output_ =
      FileDescriptor(::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!output_) return fail_errno("opening " + output, errno);
  const auto input = folder + "/" + name + ".input";
  if (::mkfifo(input.c_str(), S_IRUSR | S_IWUSR) != 0 && errno != EEXIST)
    return fail_errno("making " + input, errno);
  // For writing too, so that it does not end with whoever has written to it.
  input_ = FileDescriptor(::open(input.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
  if (!input_) return fail_errno("opening " + input, errno);
  return {};
}

void Console::flush() {
  const std::lock_guard lock(mutex_);
  for (const auto& line : vm_.devices().take_lines()) write_all(output_.get(), line + "\n");
}

void Console::show(const std::stop_token& stop) {
  name_this_thread("console-out");
  while (!stop.stop_requested()) {
    vm_.devices().await_output(kConsoleLook);
    flush();
    if (vm_.devices().has_ended()) return ended_();
  }
}

// What is typed is the guest's only while it runs here: before and afterwards another host may read the pipe.
void Console::type(const std::stop_token& stop) {
  name_this_thread("console-in");
  std::array<char, 256> buffer;
  while (!stop.stop_requested()) {
    pollfd wanted{vm_.is_running() ? input_.get() : -1, POLLIN, 0};
    if (::poll(&wanted, 1, static_cast<int>(kConsoleLook.count())) <= 0 || !vm_.is_running()) continue;
    const ssize_t count = ::read(input_.get(), buffer.data(), buffer.size());
    if (count > 0) vm_.devices().type({buffer.data(), static_cast<std::size_t>(count)});
  }
}

}  // namespace vmigrate::microvm
