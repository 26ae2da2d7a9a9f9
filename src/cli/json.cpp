#include "cli/json.hpp"

#include <string>

#include <google/protobuf/descriptor.h>

namespace vmigrate::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using nlohmann::ordered_json;

ordered_json single(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_BOOL: return reflection->GetBool(message, field);
    case FieldDescriptor::CPPTYPE_UINT32: return reflection->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64: return reflection->GetUInt64(message, field);
    case FieldDescriptor::CPPTYPE_STRING: return reflection->GetString(message, field);
    case FieldDescriptor::CPPTYPE_ENUM: return reflection->GetEnum(message, field)->name();
    case FieldDescriptor::CPPTYPE_MESSAGE: return to_json(reflection->GetMessage(message, field));
    default: return nullptr;  // control.proto has no others
  }
}

ordered_json repeated(const Message& message, const FieldDescriptor* field) {
  const auto* reflection = message.GetReflection();
  ordered_json list = ordered_json::array();
  for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      list.push_back(to_json(reflection->GetRepeatedMessage(message, field, i)));
    } else {
      list.push_back(reflection->GetRepeatedString(message, field, i));
    }
  }
  return list;
}

}  // namespace

ordered_json to_json(const Message& message) {
  const auto* descriptor = message.GetDescriptor();
  const auto* reflection = message.GetReflection();
  ordered_json object = ordered_json::object();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const auto* field = descriptor->field(i);
    if (field->is_repeated()) {
      object[field->name()] = repeated(message, field);
    } else if (!field->has_presence() || reflection->HasField(message, field)) {
      object[field->name()] = single(message, field);
    }
  }
  return object;
}

}  // namespace vmigrate::cli
