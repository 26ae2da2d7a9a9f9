#pragma once

// What embedders see of the errors is all there is of them.
#include "vmigrate/error.hpp"  // IWYU pragma: export
