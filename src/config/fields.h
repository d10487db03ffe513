#ifndef FINETUNE_CONFIG_FIELDS_H_
#define FINETUNE_CONFIG_FIELDS_H_

#include <google/protobuf/descriptor.h>

#include <string>

#include "absl/strings/string_view.h"

namespace finetune {

// What to tell somebody who wrote `name` in a message of this type: "did you mean frozen_stages?",
// or where in the schema a field of that name is, or the names that there are.
std::string SuggestField(const google::protobuf::Descriptor* type, absl::string_view name);

// Likewise for a value that is no member of the enum.
std::string SuggestEnumValue(const google::protobuf::EnumDescriptor* type, absl::string_view value);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_FIELDS_H_
