#include "reduce/decompressor.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <string>

#include <zstd.h>

namespace vmigrate::reduce {
namespace {

constexpr std::size_t kPiece = std::size_t{256} * 1024;

tl::unexpected<Error> broken_stream(const std::string& why) {
  return fail(ErrorCode::failed, "the packed memory is broken: " + why);
}

// zstd would also take the formats that it had before its first release, whose decoders nobody looks after,
// and skip what is not data.
constexpr std::array kMagic{std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f}, std::byte{0xfd}};

}  // namespace

void Decompressor::Free::operator()(ZSTD_DCtx_s* context) const {
  ::ZSTD_freeDCtx(context);
}

Decompressor::Decompressor(int window_log)
    : window_log_(std::clamp(window_log, kLowestWindowLog, kHighestWindowLog)) {
}
Decompressor::~Decompressor() = default;

std::size_t Decompressor::memory_used() const {
  return context_ ? ::ZSTD_sizeof_DCtx(context_.get()) : 0;
}

Result<> Decompressor::unpack(ByteView packed, const Sink& sink) {
  if (broken_) return broken_stream("what came before it was");
  auto done = run(packed, sink);
  broken_ = !done;
  return done;
}

Result<> Decompressor::run(ByteView packed, const Sink& sink) {
  for (const std::byte byte : packed.first(std::min(packed.size(), kMagic.size() - magic_seen_))) {
    if (byte != kMagic[magic_seen_++]) return broken_stream("no zstd stream begins");
  }
  if (!context_) {
    context_.reset(::ZSTD_createDCtx());
    if (!context_) throw std::bad_alloc();
    ::ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, window_log_);
    piece_.resize(kPiece);
  }
  ZSTD_inBuffer from{packed.data(), packed.size(), 0};
  for (;;) {
    ZSTD_outBuffer to{piece_.data(), piece_.size(), 0};
    const std::size_t code = ::ZSTD_decompressStream(context_.get(), &to, &from);
    if (::ZSTD_isError(code) != 0) return broken_stream(::ZSTD_getErrorName(code));
    if (to.pos > 0) {
      if (auto taken = sink(ByteView(piece_).first(to.pos)); !taken) return taken;
    }
    // The one stream goes on for as long as there is memory; its writer never ends it.
    if (code == 0) return broken_stream("its zstd stream ends");
    if (from.pos == from.size && to.pos < to.size) return {};
  }
}

}  // namespace vmigrate::reduce
