#include "reduce/decompressor.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>

#include <lz4.h>
#include <zstd.h>

namespace vmigrate::reduce {
namespace {

tl::unexpected<Error> broken(const std::string& why) {
  return fail(ErrorCode::failed, "a packed batch is broken: " + why);
}

// zstd would also take the formats that it had before its first release, whose decoders nobody looks after,
// and skip what is not data.
bool begins_stream(ByteView bytes) {
  constexpr std::array<unsigned char, 4> magic{0x28, 0xb5, 0x2f, 0xfd};
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

Result<ByteBuffer> unpack_lz4(ByteView packed, std::size_t size) {
  if (size > LZ4_MAX_INPUT_SIZE || packed.size() > LZ4_MAX_INPUT_SIZE) return broken("it is too large");
  ByteBuffer out(size);
  const int unpacked =
      ::LZ4_decompress_safe(reinterpret_cast<const char*>(packed.data()), reinterpret_cast<char*>(out.data()),
                            static_cast<int>(packed.size()), static_cast<int>(size));
  if (unpacked < 0) return broken("lz4 cannot make sense of it, or it is larger than was said");
  if (static_cast<std::size_t>(unpacked) != size) return broken("it is smaller than was said");
  return out;
}

}  // namespace

void Decompressor::Free::operator()(ZSTD_DCtx_s* context) const {
  ::ZSTD_freeDCtx(context);
}

Decompressor::Decompressor(int window_log)
    : window_log_(std::clamp(window_log, kLowestWindowLog, kHighestWindowLog)) {
}
Decompressor::~Decompressor() = default;
Decompressor::Decompressor(Decompressor&&) noexcept = default;
Decompressor& Decompressor::operator=(Decompressor&&) noexcept = default;

std::size_t Decompressor::memory_used() const {
  return context_ ? ::ZSTD_sizeof_DCtx(context_.get()) : 0;
}

Result<ByteBuffer> Decompressor::unpack(Method method, ByteView packed, std::size_t size) {
  switch (method) {
    case Method::stored:
      if (packed.size() != size) return broken("it is not as long as was said");
      return copy_of(packed);
    case Method::lz4: return unpack_lz4(packed, size);
    case Method::zstd: return unpack_zstd(packed, size);
  }
  return broken("its method is unknown");
}

Result<ByteBuffer> Decompressor::unpack_zstd(ByteView packed, std::size_t size) {
  if (broken_) return broken("one before it was");
  ByteBuffer out;
  if (auto done = decompress(packed, out, size); !done) {
    broken_ = true;
    return fail(std::move(done.error()));
  }
  return out;
}

Result<> Decompressor::decompress(ByteView packed, ByteBuffer& out, std::size_t size) {
  if (!context_) {
    context_.reset(::ZSTD_createDCtx());
    if (!context_) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_);
  }
  out.resize(size + 1);  // one too many shows what is longer than was said
  ZSTD_inBuffer from{packed.data(), packed.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  while (from.pos < from.size && to.pos < to.size) {
    if (!in_stream_ && !begins_stream(packed.subspan(from.pos))) return broken("no zstd stream begins");
    const std::size_t code = ::ZSTD_decompressStream(context_.get(), &to, &from);
    if (::ZSTD_isError(code) != 0) return broken(::ZSTD_getErrorName(code));
    in_stream_ = code != 0;
  }
  if (to.pos > size) return broken("it is larger than was said");
  if (to.pos < size) return broken("it is smaller than was said");
  out.resize(size);
  return {};
}

}  // namespace vmigrate::reduce
