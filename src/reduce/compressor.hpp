#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "reduce/method.hpp"

struct ZSTD_CCtx_s;

namespace vmigrate::reduce {

/// A batch as it goes on the wire.
struct Packed {
  Method method = Method::stored;
  ByteBuffer bytes;
};

/// Packs the batches of one track. It lives as long as the migration: zstd refers back to all that it packed
/// within the window. Its memory is taken when zstd is first asked for.
class Compressor {
 public:
  /// `window_log` is brought into the limits of method.hpp.
  explicit Compressor(int window_log);
  ~Compressor();
  Compressor(Compressor&&) noexcept;
  Compressor& operator=(Compressor&&) noexcept;

  /// Brought into the limits of method.hpp; the default is 1. Takes effect with the next batch that zstd
  /// packs. zstd cannot change the level within a stream: a new one begins then, which knows nothing of what
  /// came before. So change it seldom.
  void set_level(int level);
  int level() const { return level_; }

  /// The method used is `stored` if lz4 would not make the batch smaller.
  Result<Packed> pack(Method method, ByteView batch);

  /// What zstd has taken so far.
  std::size_t memory_used() const;

 private:
  Result<ByteBuffer> pack_zstd(ByteView batch);
  Result<> begin_stream();
  Result<> compress_into_scratch(ByteView bytes, int directive, std::size_t& used);

  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  int window_log_;
  int level_ = 1;
  int level_of_stream_ = 0;  // what the current stream was begun with
  bool in_stream_ = false;
  ByteBuffer scratch_;    // room for the largest batch so far, packed
  ByteBuffer lz4_state_;  // kept, because it is too large for the stack
};

}  // namespace vmigrate::reduce
