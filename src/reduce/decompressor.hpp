#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "reduce/method.hpp"

struct ZSTD_DCtx_s;

namespace vmigrate::reduce {

/// Unpacks the batches of one track, in their order.
class Decompressor {
 public:
  /// Streams that look further back than `window_log` are refused: the window is memory.
  explicit Decompressor(int window_log);
  ~Decompressor();
  Decompressor(Decompressor&&) noexcept;
  Decompressor& operator=(Decompressor&&) noexcept;

  /// Exactly `size` bytes, which the caller has found to be within its limits. After an error of zstd's,
  /// nothing more can be unpacked with it.
  Result<ByteBuffer> unpack(Method method, ByteView packed, std::size_t size);

  /// What zstd has taken so far.
  std::size_t memory_used() const;

 private:
  Result<ByteBuffer> unpack_zstd(ByteView packed, std::size_t size);
  Result<> decompress(ByteView packed, ByteBuffer& out, std::size_t size);

  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  int window_log_;
  bool in_stream_ = false;
  bool broken_ = false;
};

}  // namespace vmigrate::reduce
