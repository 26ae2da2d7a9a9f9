#include "reduce/compressor.hpp"

#include <algorithm>
#include <new>
#include <string>

#include <lz4.h>
#include <zstd.h>

namespace vmigrate::reduce {
namespace {

// Ending one stream and beginning the next.
constexpr std::size_t kStreamEnds = 64;

tl::unexpected<Error> zstd_failed(std::size_t code) {
  return fail(ErrorCode::failed, std::string("zstd cannot pack a batch: ") + ::ZSTD_getErrorName(code));
}

}  // namespace

void Compressor::Free::operator()(ZSTD_CCtx_s* context) const {
  ::ZSTD_freeCCtx(context);
}

Compressor::Compressor(int window_log)
    : window_log_(std::clamp(window_log, kLowestWindowLog, kHighestWindowLog)) {
}
Compressor::~Compressor() = default;
Compressor::Compressor(Compressor&&) noexcept = default;
Compressor& Compressor::operator=(Compressor&&) noexcept = default;

void Compressor::set_level(int level) {
  level_ = std::clamp(level, kLowestLevel, kHighestLevel);
}

std::size_t Compressor::memory_used() const {
  return context_ ? ::ZSTD_sizeof_CCtx(context_.get()) : 0;
}

Result<Packed> Compressor::pack(Method method, ByteView batch) {
  if (method == Method::zstd) {
    auto bytes = pack_zstd(batch);
    if (!bytes) return fail(std::move(bytes.error()));
    return Packed{Method::zstd, std::move(*bytes)};
  }
  if (method == Method::lz4 && batch.size() <= LZ4_MAX_INPUT_SIZE) {
    // A byte less than the batch: what does not become smaller is not worth unpacking.
    lz4_state_.resize(static_cast<std::size_t>(::LZ4_sizeofState()));
    if (scratch_.size() < batch.size()) scratch_.resize(batch.size());
    const int room = static_cast<int>(batch.size()) - 1;
    const int size = room <= 0 ? 0
                               : ::LZ4_compress_fast_extState(lz4_state_.data(),
                                                              reinterpret_cast<const char*>(batch.data()),
                                                              reinterpret_cast<char*>(scratch_.data()),
                                                              static_cast<int>(batch.size()), room, 1);
    if (size > 0) return Packed{Method::lz4, ByteBuffer(scratch_.begin(), scratch_.begin() + size)};
  }
  return Packed{Method::stored, copy_of(batch)};
}

Result<ByteBuffer> Compressor::pack_zstd(ByteView batch) {
  const std::size_t room = ::ZSTD_compressBound(batch.size()) + kStreamEnds;
  if (scratch_.size() < room) scratch_.resize(room);
  std::size_t used = 0;
  if (in_stream_ && level_of_stream_ != level_) {
    if (auto ended = compress_into_scratch({}, ZSTD_e_end, used); !ended) return fail(ended.error());
    in_stream_ = false;
  }
  if (!in_stream_) {
    if (auto begun = begin_stream(); !begun) return fail(begun.error());
  }
  if (auto done = compress_into_scratch(batch, ZSTD_e_flush, used); !done) return fail(done.error());
  return ByteBuffer(scratch_.begin(), scratch_.begin() + static_cast<std::ptrdiff_t>(used));
}

Result<> Compressor::begin_stream() {
  if (!context_) context_.reset(::ZSTD_createCCtx());
  if (!context_) throw std::bad_alloc();
  const std::pair<ZSTD_cParameter, int> parameters[] = {
      {ZSTD_c_compressionLevel, level_},
      {ZSTD_c_windowLog, window_log_},
      {ZSTD_c_enableLongDistanceMatching, 1},
      {ZSTD_c_contentSizeFlag, 0},
  };
  for (const auto& [parameter, value] : parameters) {
    const std::size_t code = ::ZSTD_CCtx_setParameter(context_.get(), parameter, value);
    if (::ZSTD_isError(code) != 0) return zstd_failed(code);
  }
  level_of_stream_ = level_;
  in_stream_ = true;
  return {};
}

/// Appends to the first `used` bytes of the scratch memory. Its room is enough for all that can come.
Result<> Compressor::compress_into_scratch(ByteView bytes, int directive, std::size_t& used) {
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer out{scratch_.data(), scratch_.size(), used};
  std::size_t left = 1;
  while (left != 0) {
    if (out.pos == out.size) scratch_.resize(scratch_.size() * 2);
    out.dst = scratch_.data();
    out.size = scratch_.size();
    left = ::ZSTD_compressStream2(context_.get(), &out, &in, static_cast<ZSTD_EndDirective>(directive));
    if (::ZSTD_isError(left) != 0) return zstd_failed(left);
  }
  used = out.pos;
  return {};
}

}  // namespace vmigrate::reduce
