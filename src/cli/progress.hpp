#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/style.hpp"
#include "vmigrate/control.pb.h"

/// How a migration under way is shown. Pure: messages in, text out.
namespace vmigrate::cli {

/// How far the current memory pass is. Each pass has its own bar, from empty to full, and within one it never
/// goes back: what the guest dirties meanwhile is the next pass's.
struct Bar {
  std::uint32_t pass = 0;
  std::uint64_t whole = 0;  ///< bytes that this pass has to move
  double fraction = 0;
};
Bar advanced(Bar bar, const control::Migration& migration);

/// Two lines for a terminal, without colours and not wider than it:
///   web1 → hostb   memory, pass 2   412 MB/s guest (118 MB/s on the wire, 3.5x)   dirty 31 MB/s
///   ████████████████████░░░░░  converging: ~1.4 s left, pause ~18 ms of 300 ms allowed
std::vector<std::string> progress_lines(const control::Migration& migration, const Bar& bar,
                                        const Style& style);

/// What moves how fast and what is to be expected, in one line.
std::string progress_text(const control::Migration& migration);
/// The same with the migration and its phase in front, for logs.
std::string progress_line(const control::Migration& migration, const Style& style);

}  // namespace vmigrate::cli
