#pragma once

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "peer/frame.hpp"
#include "peer/membership.hpp"
#include "sockets.hpp"
#include "two_hosts.hpp"

/// Attacks on the port, one by one, while a session of two honest hosts is at work: each is turned away
/// before memory is taken for it, and the session notices nothing. attacks_from_outside_test.cpp and
/// attacks_from_within_test.cpp list them.
namespace vmigrate::peer {

class Attacks;

struct Attack {
  const char* name;
  void (*run)(Attacks& host);
  /// How long the listener lets somebody take; short where the attack is to take longer.
  Milliseconds opening{5'000};
};

class Attacks : public TwoHosts, public testing::WithParamInterface<Attack> {
 public:
  Attacks() { bulk_connections_ = 1; }

  // --- For the attacks

  /// Bytes without TLS, and nothing after them.
  void send_in_the_clear(ByteView bytes);

  /// One byte after the other, until the other end has had enough.
  static void send_slowly(const FileDescriptor& socket, ByteView bytes);

  TlsStream connect(const CredentialFiles& files);
  TlsStream connect() { return connect(authority_.issue("hosta")); }

  /// Somebody with these credentials says hello. In TLS 1.3 it may learn only afterwards that it is refused.
  void expect_turned_away(const CredentialFiles& files);

  /// A client that is OpenSSL's own, with no certificate unless one is given.
  void expect_no_tls(int version, const CredentialFiles* files = nullptr);

  /// What hosta says first, in place of a hello.
  void expect_no_greeting(ByteView bytes);
  void expect_no_greeting(const wire::Opening& opening) { expect_no_greeting(framed(opening)); }

  /// A join of the first bulk connection, proved with `secret`; `change` may spoil it then.
  using Change = void (*)(wire::Join& join);
  void expect_no_join(const std::string& session, const std::string& secret, const std::string& as = "hosta",
                      Change change = nullptr);
  void expect_no_join(Change change) { expect_no_join(this->session(), secret(), "hosta", change); }
  /// The other end's answer to a join that is said again, on a connection of its own.
  void expect_no_replay(const wire::Join& join);

  /// A session of the attacker's own; `dealt_with_later`: what it sends stays with hostb.
  TlsStream begin_session(bool dealt_with_later = false);
  void end_session() { there_.reset(); }
  const std::string& session() const { return welcome_.session(); }
  const std::string& secret() const { return welcome_.secret(); }
  static wire::Join join_of(const TlsStream& stream, const std::string& session, const std::string& secret,
                            std::uint32_t connection = 1, std::uint32_t attempt = 1);

  void expect_session_ends(ByteView bytes, bool dealt_with_later = false);

  TlsStream join_own_session(std::uint32_t attempt = 1);
  const wire::Join& last_join() const { return last_join_; }

  /// Memory that hostb must not take for the VM's.
  void expect_no_memory(ByteView bytes);
  /// That it takes just this for the whole.
  void expect_memory(ByteView bytes, std::string_view memory);

  std::uint16_t listener() const { return port(); }
  CertificateAuthority& authority() { return authority_; }

  // --- What attacks are made of

  static MonotonicTime soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(30); }
  static wire::Opening hello(std::uint32_t newest = kProtocol, std::uint32_t oldest = kOldestProtocol) {
    wire::Opening opening;
    opening.mutable_hello()->set_protocol(newest);
    opening.mutable_hello()->set_oldest_protocol(oldest);
    return opening;
  }
  template <class Message>
  static ByteBuffer framed(const Message& message, std::uint32_t lane = 0) {
    ByteBuffer bytes;
    append_frame(bytes, lane, false, as_byte_view(message.SerializeAsString()));
    return bytes;
  }
  static ByteBuffer lengths(std::uint64_t header, std::uint64_t payload) {
    return number(header << 32 | payload, 8);
  }
  static ByteBuffer number(std::uint64_t value, int bytes) {
    ByteBuffer result;
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
      result.push_back(static_cast<std::byte>(value >> shift & 0xff));
    return result;
  }
  static ByteBuffer chunk(std::uint64_t at, ByteView bytes) {
    return joined({number(at, 8), number(bytes.size(), 4), copy_of(bytes)});
  }
  static ByteBuffer end(std::uint64_t total) { return joined({number(0, 12), number(total, 8)}); }
  static ByteBuffer joined(const std::vector<ByteBuffer>& parts) {
    ByteBuffer all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  }

 protected:
  /// hosta and hostb, who have done nothing wrong.
  void begin_honest_session();
  void expect_undisturbed();

 private:
  Recorder heard_here_;
  Recorder heard_there_;
  Recorder heard_;
  wire::Welcome welcome_;
  wire::Join last_join_;
  std::unique_ptr<Session> honest_there_;
  std::unique_ptr<Session> honest_here_;
  std::unique_ptr<Session> there_;
};

inline std::string name_of(const testing::TestParamInfo<Attack>& info) {
  return info.param.name;
}

}  // namespace vmigrate::peer
