#include "fixture.hpp"

#include <array>
#include <cstdlib>
#include <filesystem>

#include <sys/socket.h>
#include <unistd.h>

#include "control/framing.hpp"
#include "control/socket_address.hpp"

namespace vmigrate::control {

ControlTest::ControlTest() {
  std::string pattern = "/tmp/vmigrate-control-XXXXXX";
  const char* made = ::mkdtemp(pattern.data());
  if (made == nullptr) std::abort();
  folder_ = made;
}

ControlTest::~ControlTest() {
  server_.reset();
  std::filesystem::remove_all(folder_);
}

void ControlTest::serve(FunctionHandler::Function function, ServerOptions options) {
  handler_.emplace(std::move(function));
  options.path = socket_path();
  auto server = Server::create(std::move(options), *handler_);
  ASSERT_TRUE(server) << server.error().message;
  server_ = std::move(*server);
}

std::vector<Response> ControlTest::ask_for_all(const Request& request) const {
  std::vector<Response> responses;
  const auto asked =
      ask(socket_path(), request, [&](const Response& response) { responses.push_back(response); });
  EXPECT_TRUE(asked) << asked.error().message;
  return responses;
}

FileDescriptor ControlTest::raw_connection() const {
  FileDescriptor socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = socket_address(socket_path()).value();
  EXPECT_EQ(::connect(socket.get(), as_sockaddr(address), sizeof(address)), 0);
  return socket;
}

std::string ControlTest::read_to_end(const FileDescriptor& socket) {
  std::string all;
  std::array<char, 4096> bytes{};
  while (true) {
    const auto count = ::recv(socket.get(), bytes.data(), bytes.size(), 0);
    if (count <= 0) return all;
    all.append(bytes.data(), static_cast<std::size_t>(count));
  }
}

Response ControlTest::only_response(const std::string& bytes) {
  FrameDecoder decoder;
  decoder.append(bytes);
  Response response;
  const auto message = decoder.next();
  EXPECT_TRUE(message && *message && response.ParseFromString(**message)) << bytes.size() << " bytes";
  EXPECT_EQ(decoder.waiting(), 0u);
  return response;
}

Request list_request() {
  Request request;
  request.mutable_list();
  return request;
}

Response version_response(std::uint32_t number) {
  Response response;
  response.mutable_version()->set_protocol(number);
  return response;
}

void write_all(const FileDescriptor& socket, const std::string& bytes) {
  EXPECT_EQ(::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

}  // namespace vmigrate::control
