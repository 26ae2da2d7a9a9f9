#pragma once

namespace vmigrate::cli {

/// The whole of `vmigrate`: arguments in, exit code out.
int run(int argc, const char* const* argv);

}  // namespace vmigrate::cli
