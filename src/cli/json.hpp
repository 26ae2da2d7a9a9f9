#pragma once

#include <google/protobuf/message.h>
#include <nlohmann/json.hpp>

namespace vmigrate::cli {

/// The message as JSON: fields under their names in control.proto and in its order, also when they have their
/// default; absent sub-messages are left out; enums by name. Unlike protobuf's own printer it writes 64-bit
/// numbers as numbers, since that is what scripts expect.
nlohmann::ordered_json to_json(const google::protobuf::Message& message);

}  // namespace vmigrate::cli
