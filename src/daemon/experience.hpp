#pragma once

#include <string>
#include <vector>

#include "vmigrate/control.pb.h"

namespace vmigrate::daemon {

/// Forecasts what a move would cost from what moves from here to that host have cost: as the last one of this
/// VM did, or else as the last one of any, its time in proportion to the memory. Leaves both forecasts
/// unknown where nothing has moved there yet. `history`: the newest first.
void add_forecast(const std::vector<control::Migration>& history, const std::string& vm_id,
                  control::HostCheck* host);

}  // namespace vmigrate::daemon
