#pragma once

#include "base/error.hpp"
#include "kvm/connection.hpp"
#include "kvm/digest.hpp"
#include "kvm/send_limit.hpp"
#include "stream/composer.hpp"

namespace vmigrate::kvm {

/// The stream on its way to the socket: what the composer has written is summed up and sent in pieces that
/// are still in the processor's cache.
class StreamOutput {
 public:
  StreamOutput(Connection& connection, Rate bandwidth);

  stream::Composer& composer() { return composer_; }
  /// Composes it, and sums it up while it is in a core's nearest cache.
  void page(std::size_t block, std::uint64_t offset, ByteView content) {
    composer_.page(block, offset, content);
    sum_up();
  }
  /// Sends what was composed if that is enough to be worth a system call.
  Result<> send_if_full();
  Result<> send();
  /// The guest stands still: no limit from now on.
  void lift_limit() { limit_ = SendLimit(Rate{}); }

  /// Of all that was sent so far.
  Digest digest() const { return digester_.digest(); }
  std::uint64_t sent() const { return digester_.count(); }

 private:
  /// What was composed since the last time.
  void sum_up();

  Connection& connection_;
  SendLimit limit_;
  stream::Composer composer_;
  Digester digester_;
  std::size_t summed_up_ = 0;  ///< of what is composed and not sent
};

}  // namespace vmigrate::kvm
