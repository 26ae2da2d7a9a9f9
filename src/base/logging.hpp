#pragma once

#include <string>

#include <spdlog/spdlog.h>

#include "base/error.hpp"

namespace vmigrate {

/// Names of the levels are spdlog's: trace, debug, info, warning, error, critical, off.
/// Lines go to standard error; with `for_journald` they carry a priority prefix (sd-daemon(3)) and no time.
Result<> set_up_logging(const std::string& level, bool for_journald);

}  // namespace vmigrate
