#include "cli/words.hpp"

#include <array>
#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include "base/error.hpp"
#include "base/units.hpp"

namespace vmigrate::cli {
namespace {

/// C0, DEL and, as UTF-8, C1 characters become "?".
std::string printable(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    const bool second_set = byte == 0xc2 && next >= 0x80 && next <= 0x9f;
    if (second_set) ++i;
    const bool control = byte < 0x20 || byte == 0x7f || second_set;
    result += control ? '?' : text[i];
  }
  return result;
}

}  // namespace

std::string phase_words(const control::Migration& migration) {
  switch (migration.phase()) {
    case control::CHECK: return "check";
    case control::PREPARE: return "prepare";
    case control::MEMORY:
      return migration.progress().memory_pass() == 0
                 ? "memory"
                 : fmt::format("memory, pass {}", migration.progress().memory_pass());
    case control::SWITCHOVER: return "switchover";
    case control::CLEAN_UP: return "clean-up";
    case control::COMPLETED: return "completed";
    case control::FAILED: return "failed";
    case control::CANCELLED: return "cancelled";
    case control::NEEDS_ATTENTION: return "needs attention";
    default: return "unknown";
  }
}

Tone phase_tone(control::Phase phase) {
  switch (phase) {
    case control::COMPLETED: return Tone::good;
    case control::CANCELLED: return Tone::warning;
    case control::FAILED:
    case control::NEEDS_ATTENTION: return Tone::bad;
    default: return Tone::plain;
  }
}

bool has_ended(control::Phase phase) {
  return phase == control::COMPLETED || phase == control::FAILED || phase == control::CANCELLED;
}

std::string milliseconds(std::uint64_t count) {
  return to_string(Milliseconds(count));
}

std::string bytes(std::uint64_t count) {
  return to_string(Bytes{count});
}

std::string rate(std::uint64_t bytes_per_second) {
  return to_string(Rate{bytes_per_second});
}

std::string times(std::uint64_t many, std::uint64_t few) {
  return fmt::format("{:.1f}x", static_cast<double>(many) / static_cast<double>(few));
}

std::string local_time(std::uint64_t unix_milliseconds) {
  if (unix_milliseconds == 0) return {};
  const auto seconds = static_cast<std::time_t>(unix_milliseconds / 1000);
  std::tm broken_down{};
  if (::localtime_r(&seconds, &broken_down) == nullptr) return {};
  std::array<char, 32> text{};
  return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &broken_down)};
}

std::string dash(std::string text) {
  return text.empty() ? "-" : std::move(text);
}

std::string enumerated(const google::protobuf::RepeatedPtrField<std::string>& words) {
  std::string text;
  for (int i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " and " : ", ";
    text += words[i];
  }
  return text;
}

int exit_code_of(const control::Error& error) {
  const auto last = static_cast<std::uint32_t>(ErrorCode::needs_attention);
  return error.code() >= 1 && error.code() <= last ? static_cast<int>(error.code())
                                                   : exit_code(ErrorCode::failed);
}

int exit_code_of(const control::Migration& migration) {
  switch (migration.phase()) {
    case control::COMPLETED: return 0;
    case control::CANCELLED: return exit_code(ErrorCode::cancelled);
    case control::FAILED: return exit_code_of(migration.error());
    default: return exit_code(ErrorCode::needs_attention);
  }
}

void make_printable(google::protobuf::Message* message) {
  const auto* reflection = message->GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const auto* field : fields) {
    using Kind = google::protobuf::FieldDescriptor;
    const int count = field->is_repeated() ? reflection->FieldSize(*message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->cpp_type() == Kind::CPPTYPE_MESSAGE) {
        make_printable(field->is_repeated() ? reflection->MutableRepeatedMessage(message, field, i)
                                            : reflection->MutableMessage(message, field));
      } else if (field->cpp_type() == Kind::CPPTYPE_STRING) {
        if (field->is_repeated()) {
          reflection->SetRepeatedString(message, field, i,
                                        printable(reflection->GetRepeatedString(*message, field, i)));
        } else {
          reflection->SetString(message, field, printable(reflection->GetString(*message, field)));
        }
      }
    }
  }
}

}  // namespace vmigrate::cli
