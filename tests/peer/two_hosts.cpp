#include "two_hosts.hpp"

#include <csignal>
#include <random>

namespace vmigrate::peer {

SessionEvents Recorder::events() {
  return {[state = state_](Lane lane, ByteBuffer message) {
            state->messages.push({lane, std::move(message)});
          },
          [state = state_](const Error& error) {
            state->ended.push(error);
            state->messages.push({Lane{0}, {}});
          }};
}

std::pair<Lane, ByteBuffer> Recorder::next_message() {
  return std::move(*state_->messages.pop());
}

Error Recorder::wait_for_end() {
  return *state_->ended.pop();
}

TwoHosts::TwoHosts() {
  // As migrated does.
  std::signal(SIGPIPE, SIG_IGN);
}

TwoHosts::~TwoHosts() = default;

Endpoint TwoHosts::endpoint(const CredentialFiles& files) const {
  auto credentials = Credentials::load(files);
  EXPECT_TRUE(credentials) << credentials.error().message;
  Endpoint endpoint{std::move(*credentials), {}, "1.2.3"};
  endpoint.bulk_connections = {bulk_connections_, bulk_connections_};
  endpoint.patience = patience_;
  return endpoint;
}

void TwoHosts::listen() {
  auto here = endpoint("hostb");
  here.peers["hosta"] = {"127.0.0.1", 1};
  listen(std::move(here));
}

void TwoHosts::listen(Endpoint endpoint) {
  auto listener =
      Listener::create(std::move(endpoint), "127.0.0.1", 0,
                       [this](std::unique_ptr<Session> session) { accepted_.push(std::move(session)); });
  ASSERT_TRUE(listener) << listener.error().message;
  listener_ = std::move(*listener);
}

Endpoint TwoHosts::dialling(std::uint16_t port) {
  auto here = endpoint("hosta");
  here.peers["hostb"] = {"127.0.0.1", port};
  return here;
}

Result<std::unique_ptr<Session>> TwoHosts::dial() {
  return TlsDialer(dialling(port())).dial("hostb");
}

Error TwoHosts::refused_dial(Endpoint endpoint, const std::string& host) {
  auto session = TlsDialer(std::move(endpoint)).dial(host);
  EXPECT_FALSE(session) << "it was not refused";
  return session ? Error{} : session.error();
}

void TwoHosts::expect_still_listening() {
  auto session = dial();
  ASSERT_TRUE(session) << session.error().message;
  EXPECT_EQ(accepted()->peer().host, "hosta");
}

ByteBuffer patterned_bytes(std::size_t size, std::uint32_t seed) {
  ByteBuffer bytes(size);
  std::mt19937 random(seed);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

ByteBuffer bytes_of(std::string_view text) {
  return copy_of(as_byte_view(text));
}

}  // namespace vmigrate::peer
