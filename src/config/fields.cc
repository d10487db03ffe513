#include "src/config/fields.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/config/experiment.pb.h"

namespace finetune {
namespace {

using ::google::protobuf::Descriptor;
using ::google::protobuf::EnumDescriptor;
using ::google::protobuf::FieldDescriptor;

size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

// Paths of all fields called `name` below `type`.
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

std::string NearestName(absl::string_view name, const std::vector<std::string>& known) {
  std::string best;
  size_t best_distance = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : known) {
    const size_t distance =
        EditDistance(absl::AsciiStrToLower(name), absl::AsciiStrToLower(candidate));
    if (distance < best_distance && distance < candidate.size()) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

std::string SuggestField(const Descriptor* type, absl::string_view name) {
  std::vector<std::string> names;
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
  for (int i = 0; i < type->value_count(); ++i) names.push_back(type->value(i)->name());
  if (const std::string near = NearestName(value, names); !near.empty()) {
    return absl::StrCat("did you mean ", near, "?");
  }
  return absl::StrCat("the values are ", absl::StrJoin(names, ", "));
}

}  // namespace finetune
