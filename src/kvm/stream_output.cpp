#include "kvm/stream_output.hpp"

namespace vmigrate::kvm {
namespace {

// Written, read and sent while it is in a core's own cache.
constexpr std::size_t kPiece = std::size_t{256} * 1024;
constexpr std::size_t kRoom = kPiece + std::size_t{8} * 1024;

}  // namespace

StreamOutput::StreamOutput(Connection& connection, Rate bandwidth)
    : connection_(connection), limit_(bandwidth) {
  composer_.reserve(kRoom);
}

void StreamOutput::sum_up() {
  const ByteView bytes = composer_.output();
  digester_.update(bytes.subspan(summed_up_));
  summed_up_ = bytes.size();
}

Result<> StreamOutput::send_if_full() {
  if (composer_.output().size() < kPiece) return {};
  return send();
}

Result<> StreamOutput::send() {
  const ByteView bytes = composer_.output();
  if (bytes.empty()) return {};
  sum_up();
  if (auto sent = connection_.write(bytes); !sent) return sent;
  const auto next = limit_.after(bytes.size(), std::chrono::steady_clock::now());
  composer_.clear_output();
  summed_up_ = 0;
  return connection_.wait_until(next);
}

}  // namespace vmigrate::kvm
