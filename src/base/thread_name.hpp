#pragma once

#include <string_view>

namespace vmigrate {

/// Names the calling thread as `top -H` shows it; the kernel keeps the first 15 characters.
void name_this_thread(std::string_view name);

}  // namespace vmigrate
