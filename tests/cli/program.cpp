#include "program.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace vmigrate::cli {
namespace {

struct Pipe {
  FileDescriptor reading;
  FileDescriptor writing;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  return {FileDescriptor(ends[0]), FileDescriptor(ends[1])};
}

Pipe make_terminal() {
  int own = -1;
  int programs = -1;
  const winsize size{.ws_row = 24, .ws_col = 100, .ws_xpixel = 0, .ws_ypixel = 0};
  EXPECT_EQ(::openpty(&own, &programs, nullptr, nullptr, &size), 0);
  EXPECT_EQ(::fcntl(own, F_SETFD, FD_CLOEXEC), 0);
  EXPECT_EQ(::fcntl(programs, F_SETFD, FD_CLOEXEC), 0);
  return {FileDescriptor(own), FileDescriptor(programs)};
}

/// As exec(3) wants them.
std::vector<char*> pointers_to(std::vector<std::string>* words) {
  std::vector<char*> pointers(words->size() + 1);
  std::ranges::transform(*words, pointers.begin(), [](std::string& word) { return word.data(); });
  return pointers;
}

/// Appends what can be read at once, or waits for something. False at the end.
bool read_more(const FileDescriptor& from, std::string* text) {
  std::array<char, 4096> bytes{};
  const auto count = ::read(from.get(), bytes.data(), bytes.size());
  if (count <= 0) return false;  // of a terminal, the end is an error
  text->append(bytes.data(), static_cast<std::size_t>(count));
  return true;
}

}  // namespace

Program::Program(const std::vector<std::string>& arguments, const std::string& socket, bool terminal) {
  auto output = make_pipe();
  auto errors = terminal ? make_terminal() : make_pipe();
  std::vector<std::string> words{"vmigrate"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  auto argument_pointers = pointers_to(&words);
  std::vector<std::string> variables{"VMIGRATE_SOCKET=" + socket, "LC_ALL=C.UTF-8", "TERM=xterm", "TZ=UTC"};
  auto variable_pointers = pointers_to(&variables);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output.writing.get(), STDOUT_FILENO);
  ::posix_spawn_file_actions_adddup2(&actions, errors.writing.get(), STDERR_FILENO);
  EXPECT_EQ(::posix_spawn(&process_, VMIGRATE_PROGRAM, &actions, nullptr, argument_pointers.data(),
                          variable_pointers.data()),
            0);
  ::posix_spawn_file_actions_destroy(&actions);
  output_ = std::move(output.reading);
  errors_ = std::move(errors.reading);
}

Program::~Program() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
}

void Program::interrupt() const {
  ::kill(process_, SIGINT);
}

void Program::wait_for_error_text(const std::string& text) {
  while (error_text_.find(text) == std::string::npos && read_more(errors_, &error_text_)) {
  }
  EXPECT_NE(error_text_.find(text), std::string::npos) << error_text_;
}

Ended Program::wait() {
  Ended ended;
  // Both at once: a full pipe would stop the program.
  std::jthread reading([this] {
    while (read_more(errors_, &error_text_)) {
    }
  });
  while (read_more(output_, &ended.output)) {
  }
  reading.join();
  int status = 0;
  ::waitpid(process_, &status, 0);
  process_ = -1;
  ended.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  ended.errors = error_text_;
  return ended;
}

ProgramTest::ProgramTest() {
  std::string pattern = "/tmp/vmigrate-cli-XXXXXX";
  const char* made = ::mkdtemp(pattern.data());
  if (made == nullptr) std::abort();
  folder_ = made;
}

ProgramTest::~ProgramTest() {
  requests_.close();
  server_.reset();
  std::filesystem::remove_all(folder_);
}

void ProgramTest::start_daemon() {
  auto server = control::Server::create({.path = socket_path()}, *this);
  ASSERT_TRUE(server) << server.error().message;
  server_ = std::move(*server);
}

void ProgramTest::handle(const control::Request& request, const control::Caller&,
                         std::shared_ptr<control::Responder> responder) {
  requests_.push({request, std::move(responder)});
}

ProgramTest::Asked ProgramTest::next_request() {
  return requests_.pop().value_or(Asked{});
}

std::unique_ptr<Program> ProgramTest::start_program(const std::vector<std::string>& arguments,
                                                    bool terminal) const {
  return std::make_unique<Program>(arguments, socket_path(), terminal);
}

Ended ProgramTest::run_answered(const std::vector<std::string>& arguments, const control::Response& response,
                                control::Request* request) {
  start_daemon();
  const auto program = start_program(arguments);
  auto asked = next_request();
  if (request != nullptr) *request = asked.request;
  asked.responder->finish(response);
  return program->wait();
}

}  // namespace vmigrate::cli
