#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "cli/style.hpp"
#include "vmigrate/control.pb.h"

/// How people are told what the API's numbers mean.
namespace vmigrate::cli {

/// "memory, pass 2", "switchover", "needs attention".
std::string phase_words(const control::Migration& migration);
Tone phase_tone(control::Phase phase);
/// It is over, in one way or another; "needs attention" is not.
bool has_ended(control::Phase phase);

/// "1.4 s", from a count of milliseconds.
std::string milliseconds(std::uint64_t count);
std::string bytes(std::uint64_t count);
std::string rate(std::uint64_t bytes_per_second);
/// "3.5x": how many times the first is the second. The second is not 0.
std::string times(std::uint64_t many, std::uint64_t few);
/// "2026-11-23 10:18:44" in local time; empty for 0.
std::string local_time(std::uint64_t unix_milliseconds);
/// "-" for nothing: tables have no empty cells.
std::string dash(std::string text);
/// "a, b and c".
std::string enumerated(const google::protobuf::RepeatedPtrField<std::string>& words);

/// The exit code for an error that came from the daemon: 1 to 9.
int exit_code_of(const control::Error& error);
/// The exit code for how a migration stands at its end.
int exit_code_of(const control::Migration& migration);

/// Replaces control characters in every text of the message: names and messages come from other machines, and
/// must not be able to drive the terminal.
void make_printable(google::protobuf::Message* message);

}  // namespace vmigrate::cli
