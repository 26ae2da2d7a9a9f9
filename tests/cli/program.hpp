#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/types.h>

#include "base/bounded_queue.hpp"
#include "base/file_descriptor.hpp"
#include "control/server.hpp"

namespace vmigrate::cli {

/// What a program that has ended leaves.
struct Ended {
  int exit_code = -1;
  std::string output;
  std::string errors;
};

/// One run of `vmigrate` beside the test.
class Program {
 public:
  /// `terminal`: where standard error goes instead of a pipe; its other end is read like the pipe.
  Program(const std::vector<std::string>& arguments, const std::string& socket, bool terminal = false);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  /// What Ctrl-C does.
  void interrupt() const;
  Ended wait();
  /// Waits until the program has written this to standard error.
  void wait_for_error_text(const std::string& text);

 private:
  pid_t process_ = -1;
  FileDescriptor output_;
  FileDescriptor errors_;
  std::string error_text_;
};

/// The test plays the daemon.
class ProgramTest : public testing::Test, public control::RequestHandler {
 protected:
  struct Asked {
    control::Request request;
    std::shared_ptr<control::Responder> responder;
  };

  ProgramTest();
  ~ProgramTest() override;

  void start_daemon();
  /// Goes away without another word.
  void kill_daemon() { server_.reset(); }
  /// The next request; waits for it.
  Asked next_request();

  std::string socket_path() const { return folder_ + "/migrated.sock"; }
  std::unique_ptr<Program> start_program(const std::vector<std::string>& arguments,
                                         bool terminal = false) const;
  Ended run(const std::vector<std::string>& arguments) const { return start_program(arguments)->wait(); }
  /// Runs the program and answers its only request with `response`.
  Ended run_answered(const std::vector<std::string>& arguments, const control::Response& response,
                     control::Request* request = nullptr);

 private:
  void handle(const control::Request& request, const control::Caller& caller,
              std::shared_ptr<control::Responder> responder) override;

  std::string folder_;
  BoundedQueue<Asked> requests_{64};
  std::unique_ptr<control::Server> server_;
};

}  // namespace vmigrate::cli
