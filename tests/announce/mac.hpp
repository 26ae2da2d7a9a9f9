#pragma once

#include "announce/addresses.hpp"

namespace vmigrate::announce {

/// That of the VM in these tests.
inline constexpr MacAddress kMac{{0x52, 0x54, 0x00, 0x12, 0x34, 0x56}};

}  // namespace vmigrate::announce
