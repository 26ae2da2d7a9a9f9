#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/bounded_queue.hpp"
#include "base/file_descriptor.hpp"
#include "control/client.hpp"
#include "control/server.hpp"

namespace vmigrate::control {

/// Handles requests with whatever function a test gives it.
class FunctionHandler : public RequestHandler {
 public:
  using Function = std::function<void(const Request&, const Caller&, std::shared_ptr<Responder>)>;
  FunctionHandler() = default;
  explicit FunctionHandler(Function function) : function_(std::move(function)) {}
  void handle(const Request& request, const Caller& caller, std::shared_ptr<Responder> responder) override {
    function_(request, caller, std::move(responder));
  }
  void turned_away(const std::optional<Caller>& caller, const vmigrate::Error& why) override {
    turned_away_->push({caller, why});
  }
  using TurnedAway = std::pair<std::optional<Caller>, vmigrate::Error>;
  /// The next one; waits for it.
  TurnedAway next_turned_away() { return *turned_away_->pop(); }

 private:
  Function function_;
  std::shared_ptr<BoundedQueue<TurnedAway>> turned_away_ =
      std::make_shared<BoundedQueue<TurnedAway>>(SIZE_MAX);
};

/// A folder that goes away with the test, and what tests say and hear on a socket in it.
class ControlTest : public testing::Test {
 protected:
  ControlTest();
  ~ControlTest() override;

  std::string in_folder(const std::string& name) const { return folder_ + "/" + name; }
  std::string socket_path() const { return in_folder("migrated.sock"); }
  /// Serves with `function` until the test ends or stop_serving().
  void serve(FunctionHandler::Function function, ServerOptions options = {});
  void stop_serving() { server_.reset(); }
  Server& server() { return *server_; }
  FunctionHandler::TurnedAway next_turned_away() { return handler_->next_turned_away(); }

  /// All responses to `request`; the test fails when there is an error.
  std::vector<Response> ask_for_all(const Request& request) const;
  /// A connection without Client's manners.
  FileDescriptor raw_connection() const;
  /// What comes until the other end closes.
  static std::string read_to_end(const FileDescriptor& socket);
  /// The only response in what was read.
  static Response only_response(const std::string& bytes);

 private:
  std::string folder_;
  std::optional<FunctionHandler> handler_;
  std::unique_ptr<Server> server_;
};

Request list_request();
/// A response that carries a number.
Response version_response(std::uint32_t number);
void write_all(const FileDescriptor& socket, const std::string& bytes);

}  // namespace vmigrate::control
