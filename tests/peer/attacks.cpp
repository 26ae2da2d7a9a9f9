#include "attacks.hpp"

#include <array>

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include "largest_block.hpp"

namespace vmigrate::peer {

void Attacks::send_in_the_clear(ByteView bytes) {
  const auto socket = connect_to(port());
  send_all(socket, bytes);
  ::shutdown(socket.get(), SHUT_WR);
  read_to_end(socket);
}

void Attacks::send_slowly(const FileDescriptor& socket, ByteView bytes) {
  constexpr int kPace = 20;  // ms
  for (const auto& byte : bytes) {
    pollfd entry{socket.get(), POLLIN, 0};
    if (!send_all(socket, ByteView(&byte, 1)) || ::poll(&entry, 1, kPace) != 0) break;
  }
  read_to_end(socket);
}

TlsStream Attacks::connect(const CredentialFiles& files) {
  auto stream = TlsStream::handshake(connect_to(port()), endpoint(files).credentials, true, soon());
  EXPECT_TRUE(stream) << stream.error().message;
  return std::move(*stream);
}

void Attacks::expect_turned_away(const CredentialFiles& files) {
  auto stream = TlsStream::handshake(connect_to(port()), endpoint(files).credentials, true, soon());
  if (!stream) return;
  (void)write_opening(*stream, hello(), soon());
  EXPECT_FALSE(read_answer(*stream, soon()));
}

void Attacks::expect_no_tls(int version, const CredentialFiles* files) {
  const std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context(::SSL_CTX_new(::TLS_client_method()),
                                                                    ::SSL_CTX_free);
  ::SSL_CTX_set_max_proto_version(context.get(), version);
  if (files != nullptr) {
    ::SSL_CTX_use_certificate_file(context.get(), files->certificate.c_str(), SSL_FILETYPE_PEM);
    ::SSL_CTX_use_PrivateKey_file(context.get(), files->key.c_str(), SSL_FILETYPE_PEM);
  }
  const std::unique_ptr<SSL, decltype(&::SSL_free)> client(::SSL_new(context.get()), ::SSL_free);
  const auto socket = connect_to(port());
  ::SSL_set_fd(client.get(), socket.get());
  // In TLS 1.3 the client's handshake is over before hostb refuses its certificate.
  ASSERT_EQ(::SSL_connect(client.get()) == 1, version >= TLS1_3_VERSION);
  if (version < TLS1_3_VERSION) return;
  // hostb would say nothing before it is greeted.
  const auto greeting = framed(hello());
  std::array<char, 1> byte{};
  (void)::SSL_write(client.get(), greeting.data(), static_cast<int>(greeting.size()));
  EXPECT_LE(::SSL_read(client.get(), byte.data(), 1), 0);
}

void Attacks::expect_no_greeting(ByteView bytes) {
  auto stream = connect();
  (void)stream.write_all(bytes, soon());
  EXPECT_FALSE(read_answer(stream, soon()));
}

wire::Join Attacks::join_of(const TlsStream& stream, const std::string& session, const std::string& secret,
                            std::uint32_t connection, std::uint32_t attempt) {
  wire::Join join;
  join.set_session(session);
  join.set_connection(connection);
  join.set_attempt(attempt);
  EXPECT_TRUE(prove(join, secret, stream));
  return join;
}

void Attacks::expect_no_join(const std::string& session, const std::string& secret, const std::string& as,
                             Change change) {
  auto stream = connect(authority_.issue(as));
  wire::Opening opening;
  *opening.mutable_join() = join_of(stream, session, secret);
  if (change != nullptr) change(*opening.mutable_join());
  (void)write_opening(stream, opening, soon());
  const auto answer = read_answer(stream, soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::not_allowed);
}

void Attacks::expect_no_replay(const wire::Join& join) {
  auto stream = connect();
  wire::Opening opening;
  *opening.mutable_join() = join;
  (void)write_opening(stream, opening, soon());
  EXPECT_FALSE(read_answer(stream, soon()));
}

TlsStream Attacks::begin_session(bool dealt_with_later) {
  auto stream = connect();
  EXPECT_TRUE(write_opening(stream, hello(), soon()));
  auto answer = read_answer(stream, soon());
  EXPECT_TRUE(answer) << answer.error().message;
  welcome_ = answer->welcome();
  there_ = accepted();
  auto events = heard_.events();
  events.dealt_with_later = dealt_with_later;
  there_->start(std::move(events));
  return stream;
}

void Attacks::expect_session_ends(ByteView bytes, bool dealt_with_later) {
  auto stream = begin_session(dealt_with_later);
  (void)stream.write_all(bytes, soon());
  EXPECT_EQ(heard_.wait_for_end().code, ErrorCode::refused);
}

TlsStream Attacks::join_own_session(std::uint32_t attempt) {
  auto stream = connect();
  wire::Opening opening;
  last_join_ = join_of(stream, session(), secret(), 1, attempt);
  *opening.mutable_join() = last_join_;
  EXPECT_TRUE(write_opening(stream, opening, soon()));
  EXPECT_TRUE(read_answer(stream, soon()));
  return stream;
}

void Attacks::expect_no_memory(ByteView bytes) {
  const auto control = begin_session();
  auto stream = join_own_session();
  (void)stream.write_all(bytes, soon());
  auto read = there_->bulk_receiver().read();
  while (read && !read->empty()) read = there_->bulk_receiver().read();
  EXPECT_FALSE(read);
}

void Attacks::expect_memory(ByteView bytes, std::string_view memory) {
  const auto control = begin_session();
  auto stream = join_own_session();
  (void)stream.write_all(bytes, soon());
  ByteBuffer all;
  for (auto read = there_->bulk_receiver().read(); read && !read->empty();
       read = there_->bulk_receiver().read())
    all.insert(all.end(), read->begin(), read->end());
  EXPECT_EQ(as_text(all), memory);
}

void Attacks::begin_honest_session() {
  patience_.opening = GetParam().opening;
  auto there = endpoint("hostb");
  there.peers["hosta"] = there.peers["hostc"] = {};
  listen(std::move(there));
  auto dialled = dial();
  ASSERT_TRUE(dialled) << dialled.error().message;
  honest_here_ = std::move(*dialled);
  honest_there_ = accepted();
  honest_here_->start(heard_here_.events());
  honest_there_->start(heard_there_.events());
}

void Attacks::expect_undisturbed() {
  honest_here_->send(Lane::control, bytes_of("question"));
  EXPECT_EQ(heard_there_.next_message().second, bytes_of("question"));
  honest_there_->send(Lane::control, bytes_of("answer"));
  EXPECT_EQ(heard_here_.next_message().second, bytes_of("answer"));
  EXPECT_FALSE(heard_here_.has_ended() || heard_there_.has_ended());
}

TEST_P(Attacks, AreTurnedAwayAndDisturbNobody) {
  ASSERT_NO_FATAL_FAILURE(begin_honest_session());
  expect_undisturbed();
  largest_block = 0;
  GetParam().run(*this);
  // What attacks send has up to 2 MiB; what they announce has 4 GiB.
  EXPECT_LT(largest_block, 4 * kMebibyte);
  expect_undisturbed();
  expect_still_listening();
}

}  // namespace vmigrate::peer
