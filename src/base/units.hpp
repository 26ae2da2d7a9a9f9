#pragma once

#include "vmigrate/units.hpp"  // IWYU pragma: export
