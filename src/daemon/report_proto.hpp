#pragma once

#include "migration/report.hpp"
#include "vmigrate/control.pb.h"

namespace vmigrate::daemon {

/// A report as the control API tells it.
control::Migration to_proto(const migration::Report& report);

/// An error as the control API tells it; `vm_state` says where the VM runs now, or is empty.
control::Error to_proto(const Error& error, std::string vm_state = {});

}  // namespace vmigrate::daemon
