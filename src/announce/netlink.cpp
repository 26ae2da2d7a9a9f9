#include "announce/netlink.hpp"

#include <cerrno>
#include <cstring>

#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace vmigrate::announce {
namespace {

/// The kernel builds its dumps in pieces of at most this size for a reader that offers as much.
constexpr std::size_t kBufferSize = 32UL * 1024;

constexpr std::size_t aligned(std::size_t size) {
  return (size + NLMSG_ALIGNTO - 1) & ~static_cast<std::size_t>(NLMSG_ALIGNTO - 1);
}

template <class Header>
Header read_header(ByteView bytes) {
  Header header{};
  std::memcpy(&header, bytes.data(), sizeof(header));
  return header;
}

/// Takes the messages out of one datagram. True when the answer is complete; an errno when the kernel
/// refused.
tl::expected<bool, int> collect(ByteView datagram, std::uint32_t sequence,
                                std::vector<ByteBuffer>& messages) {
  while (datagram.size() >= sizeof(nlmsghdr)) {
    const auto header = read_header<nlmsghdr>(datagram);
    if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > datagram.size()) {
      return tl::unexpected(EBADMSG);
    }
    const ByteView payload = datagram.subspan(sizeof(nlmsghdr), header.nlmsg_len - sizeof(nlmsghdr));
    datagram = datagram.subspan(std::min(aligned(header.nlmsg_len), datagram.size()));
    if (header.nlmsg_seq != sequence) continue;
    if (header.nlmsg_type == NLMSG_DONE) return true;
    if (header.nlmsg_type == NLMSG_ERROR) {
      if (payload.size() < sizeof(nlmsgerr)) return tl::unexpected(EBADMSG);
      const int error = -read_header<nlmsgerr>(payload).error;
      if (error != 0) return tl::unexpected(error);
      return true;
    }
    messages.push_back(copy_of(payload));
  }
  return false;
}

}  // namespace

void NetlinkRequest::start(std::uint16_t type, std::uint16_t flags, ByteView header) {
  nlmsghdr message{};
  message.nlmsg_type = type;
  // With an acknowledgement every request that is no dump ends the same way, whether it has an answer or not.
  message.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  message_.resize(sizeof(message) + aligned(header.size()));
  std::memcpy(message_.data(), &message, sizeof(message));
  std::memcpy(message_.data() + sizeof(message), header.data(), header.size());
}

void NetlinkRequest::add(std::uint16_t attribute, ByteView value) {
  rtattr header{};
  header.rta_type = attribute;
  header.rta_len = static_cast<std::uint16_t>(sizeof(header) + value.size());
  const std::size_t at = message_.size();
  message_.resize(at + sizeof(header) + aligned(value.size()));
  std::memcpy(message_.data() + at, &header, sizeof(header));
  std::memcpy(message_.data() + at + sizeof(header), value.data(), value.size());
}

Result<NetlinkSocket> NetlinkSocket::open() {
  FileDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return fail_errno("cannot ask the kernel about its network", errno);
  return NetlinkSocket(std::move(socket));
}

NetlinkAnswer NetlinkSocket::request(NetlinkRequest request) {
  auto header = read_header<nlmsghdr>(request.message_);
  header.nlmsg_len = static_cast<std::uint32_t>(request.message_.size());
  header.nlmsg_seq = ++sequence_;
  std::memcpy(request.message_.data(), &header, sizeof(header));

  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  if (::sendto(socket_.get(), request.message_.data(), request.message_.size(), 0,
               reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel)) < 0) {
    return tl::unexpected(errno);
  }

  std::vector<ByteBuffer> messages;
  ByteBuffer buffer(kBufferSize);
  for (;;) {
    const ssize_t size = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return tl::unexpected(errno);
    const auto complete =
        collect(ByteView(buffer).first(static_cast<std::size_t>(size)), sequence_, messages);
    if (!complete) return tl::unexpected(complete.error());
    if (*complete) return messages;
  }
}

std::optional<ByteView> find_attribute(ByteView message, std::size_t header_size, std::uint16_t type) {
  if (message.size() < aligned(header_size)) return std::nullopt;
  ByteView rest = message.subspan(aligned(header_size));
  while (rest.size() >= sizeof(rtattr)) {
    const auto header = read_header<rtattr>(rest);
    if (header.rta_len < sizeof(rtattr) || header.rta_len > rest.size()) return std::nullopt;
    if ((header.rta_type & NLA_TYPE_MASK) == type) {
      return rest.subspan(sizeof(rtattr), header.rta_len - sizeof(rtattr));
    }
    rest = rest.subspan(std::min(aligned(header.rta_len), rest.size()));
  }
  return std::nullopt;
}

std::optional<std::uint32_t> find_number(ByteView message, std::size_t header_size, std::uint16_t type) {
  const auto value = find_attribute(message, header_size, type);
  if (!value || value->size() != sizeof(std::uint32_t)) return std::nullopt;
  return read_header<std::uint32_t>(*value);
}

}  // namespace vmigrate::announce
