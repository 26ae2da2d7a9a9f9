#pragma once

#include "vmigrate/control.pb.h"

/// Migrations as the daemon reports them, for tests.
namespace vmigrate::cli {

/// web1 from hosta to hostb, in this phase.
control::Migration migration_in(control::Phase phase);
/// In its second memory pass, with everything known.
control::Migration moving_memory();
/// With a receipt.
control::Migration completed();
/// Ended with this error; the VM runs on hosta.
control::Migration failed(control::Phase phase, std::uint32_t code);

control::Response response_with(control::Migration migration);
control::Response error_response_with(std::uint32_t code);

}  // namespace vmigrate::cli
