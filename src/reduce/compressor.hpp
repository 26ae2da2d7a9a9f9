#pragma once

#include <memory>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "reduce/method.hpp"

struct ZSTD_CCtx_s;

namespace vmigrate::reduce {

/// Far reach remembers one place in so many bytes, as a power of two, instead of in 128, zstd's own choice:
/// of a Debian guest's memory it makes half a per cent more, and costs half as much.
inline constexpr int kSpacingLog = 8;

/// How far back a Compressor looks for what is like what it has before it.
enum class Reach {
  near,  ///< as far as the level does by itself, within the piece of a megabyte that a worker has
  far,   ///< all over the window, by long-distance matching; costs 0.8 ns a byte more
};

/// Packs a stream of bytes as one zstd stream. zstd does the work on threads of its own; who calls waits for
/// them only when they have all that they can hold. Threads and memory are taken when something is first
/// packed.
class Compressor {
 public:
  /// `window_log` is brought into the limits of method.hpp; `workers` is the number of threads, 1 or more.
  Compressor(Reach reach, int window_log, int workers);
  ~Compressor();
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  /// Appends to `out` what is ready of the packed stream: none, or much of what was given before.
  Result<> pack(ByteView bytes, ByteBuffer& out);
  /// Waits for the workers and appends the rest: with it, all that was given can be unpacked.
  Result<> flush(ByteBuffer& out);

  /// What zstd has taken so far.
  std::size_t memory_used() const;

 private:
  Result<> begin();
  Result<> run(ByteView bytes, int directive, ByteBuffer& out);

  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  const Reach reach_;
  const int window_log_;
  const int workers_;
};

}  // namespace vmigrate::reduce
