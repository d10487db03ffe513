#include "src/config/overlay.h"

#include <algorithm>
#include <memory>

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;
using ::google::protobuf::Message;
using ::google::protobuf::Reflection;

void CopyScalar(const Message& from, const FieldDescriptor* field, Message* to) {
  const Reflection* in = from.GetReflection();
  const Reflection* out = to->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return out->SetInt32(to, field, in->GetInt32(from, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return out->SetInt64(to, field, in->GetInt64(from, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return out->SetUInt32(to, field, in->GetUInt32(from, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return out->SetUInt64(to, field, in->GetUInt64(from, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return out->SetDouble(to, field, in->GetDouble(from, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return out->SetFloat(to, field, in->GetFloat(from, field));
    case FieldDescriptor::CPPTYPE_BOOL:
      return out->SetBool(to, field, in->GetBool(from, field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return out->SetEnum(to, field, in->GetEnum(from, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return out->SetString(to, field, in->GetString(from, field));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return out->MutableMessage(to, field)->CopyFrom(in->GetMessage(from, field));
  }
}

void CopyRepeated(const Message& from, const FieldDescriptor* field, Message* to) {
  // Merges from a copy of the message that holds only this field, because reflection cannot copy a
  // single repeated field.
  std::unique_ptr<Message> only(from.New());
  only->CopyFrom(from);
  std::vector<const FieldDescriptor*> set;
  only->GetReflection()->ListFields(*only, &set);
  for (const FieldDescriptor* other : set) {
    if (other != field) only->GetReflection()->ClearField(only.get(), other);
  }
  to->GetReflection()->ClearField(to, field);
  to->MergeFrom(*only);
}

}  // namespace

std::vector<const FieldDescriptor*> WrittenFields(const Message& message, const std::string& path,
                                                  const Origins& origins) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  const Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->is_repeated() && message.GetReflection()->FieldSize(message, field) == 0 &&
        origins.contains(JoinPath(path, field->name()))) {
      fields.push_back(field);
    }
  }
  std::sort(fields.begin(), fields.end(),
            [](const auto* a, const auto* b) { return a->number() < b->number(); });
  return fields;
}

void ClearOtherMember(const FieldDescriptor* field, const std::string& path, Message* to,
                      Origins* origins) {
  const auto* oneof = field->real_containing_oneof();
  if (oneof == nullptr) return;
  const FieldDescriptor* now = to->GetReflection()->GetOneofFieldDescriptor(*to, oneof);
  if (now == nullptr || now == field) return;
  to->GetReflection()->ClearField(to, now);
  EraseOrigins(JoinPath(path, now->name()), origins);
}

void Overlay(const Message& from, const Origins& from_origins, const std::string& path, Message* to,
             Origins* to_origins) {
  for (const FieldDescriptor* field : WrittenFields(from, path, from_origins)) {
    const std::string field_path = JoinPath(path, field->name());
    ClearOtherMember(field, path, to, to_origins);
    if (field->is_repeated()) {
      EraseOrigins(field_path, to_origins);
      CopyRepeated(from, field, to);
      CopyOrigins(field_path, from_origins, to_origins);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (auto it = from_origins.find(field_path); it != from_origins.end()) {
        (*to_origins)[field_path] = it->second;
      }
      Overlay(from.GetReflection()->GetMessage(from, field), from_origins, field_path,
              to->GetReflection()->MutableMessage(to, field), to_origins);
    } else {
      CopyScalar(from, field, to);
      CopyOrigins(field_path, from_origins, to_origins);
    }
  }
}

}  // namespace finetune
