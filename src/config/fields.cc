#include "src/config/fields.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/nearest_name.h"
#include "src/config/experiment.pb.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;

// Appends to `found` the paths of all fields called `name` in `type` and the messages in it.
void FindFields(const Descriptor* type, absl::string_view name, const std::string& prefix,
                std::vector<std::string>* found) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const std::string path = absl::StrCat(prefix, prefix.empty() ? "" : ".", field->name());
    if (field->name() == name) found->push_back(path);
    if (field->message_type() != nullptr) FindFields(field->message_type(), name, path, found);
  }
}

}  // namespace

std::string SuggestField(const Descriptor* type, absl::string_view name) {
  std::vector<std::string> names;
  names.reserve(type->field_count());
  for (int i = 0; i < type->field_count(); ++i) names.push_back(type->field(i)->name());
  if (const std::string near = NearestName(name, names); !near.empty()) {
    return absl::StrCat("did you mean ", near, "?");
  }
  std::vector<std::string> elsewhere;
  FindFields(ExperimentConfig::descriptor(), name, "", &elsewhere);
  if (!elsewhere.empty() && elsewhere.size() <= 3) {
    return absl::StrCat("it belongs to ", absl::StrJoin(elsewhere, " or "));
  }
  if (names.empty()) return "this message has no fields";
  return absl::StrCat("the fields here are ", absl::StrJoin(names, ", "));
}

std::string SuggestEnumValue(const EnumDescriptor* type, absl::string_view value) {
  std::vector<std::string> names;
  names.reserve(type->value_count());
  for (int i = 0; i < type->value_count(); ++i) names.push_back(type->value(i)->name());
  if (const std::string near = NearestName(value, names); !near.empty()) {
    return absl::StrCat("did you mean ", near, "?");
  }
  return absl::StrCat("the values are ", absl::StrJoin(names, ", "));
}

}  // namespace finetune
