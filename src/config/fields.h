#ifndef FINETUNE_CONFIG_FIELDS_H_
#define FINETUNE_CONFIG_FIELDS_H_

#include <google/protobuf/descriptor.h>

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// Returns advice on a field `name` that a message of this type does not have: "did you mean
// frozen_stages?", or the paths of fields of that name in other messages, or the names of this
// message's fields.
std::string SuggestField(const google::protobuf::Descriptor* type, absl::string_view name);

// Returns advice on a value that the enum does not have: "did you mean CUDA?", or the names of its
// values.
std::string SuggestEnumValue(const google::protobuf::EnumDescriptor* type, absl::string_view value);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_FIELDS_H_
