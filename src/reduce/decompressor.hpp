#pragma once

#include <functional>
#include <memory>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "reduce/method.hpp"

struct ZSTD_DCtx_s;

namespace vmigrate::reduce {

/// Unpacks what a Compressor has packed, however it is cut.
class Decompressor {
 public:
  /// Takes the next bytes of what was packed, some at a time.
  using Sink = std::function<Result<>(ByteView)>;

  /// Streams that look further back than `window_log` are refused: the window is memory.
  explicit Decompressor(int window_log);
  ~Decompressor();
  Decompressor(const Decompressor&) = delete;
  Decompressor& operator=(const Decompressor&) = delete;

  /// An error, the sink's too, is final: nothing more can be unpacked.
  Result<> unpack(ByteView packed, const Sink& sink);

  /// What zstd has taken so far.
  std::size_t memory_used() const;

 private:
  Result<> run(ByteView packed, const Sink& sink);

  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  int window_log_;
  std::size_t magic_seen_ = 0;  ///< of the first bytes, those that were right
  bool broken_ = false;
  ByteBuffer piece_;
};

}  // namespace vmigrate::reduce
