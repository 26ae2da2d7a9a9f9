#pragma once

#include "base/error.hpp"
#include "reduce/varint.hpp"

namespace vmigrate::reduce {

/// A longer difference is not worth it: a whole page compresses better.
inline constexpr std::size_t kLongestDelta = 2048;

enum class Difference { none, found, too_long };

/// Appends to `out` how `now` differs from `before`, both a page; nothing unless it is `found`.
///
/// The unit is a word of 8 bytes: (words that are the same, words that differ, the new words)*, where the
/// first of these may be all that is left of the page and then ends it.
Difference append_delta(ByteView before, ByteView now, ByteBuffer& out);

/// Makes `page`, which holds the old content, the new one. `page` is unspecified after an error.
Result<> apply_delta(FieldReader& delta, std::span<std::byte> page);

}  // namespace vmigrate::reduce
