#pragma once

#include <string>
#include <string_view>

namespace vmigrate {

/// The text with "?" for each byte that is not part of well-formed UTF-8.
///
/// What hypervisors, kernels and certificates say can have any bytes in it (a path in an old encoding, say),
/// and a protobuf message with such a string is one that its receiver cannot read: not that string, and
/// nothing else in it.
std::string valid_utf8(std::string_view text);

}  // namespace vmigrate
