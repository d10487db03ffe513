#include "src/config/field_path.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/config/experiment.pb.h"
#include "src/config/fields.h"
#include "src/config/origins.h"

namespace finetune {

using ::google::protobuf::Descriptor;
using ::google::protobuf::FieldDescriptor;

absl::StatusOr<std::vector<FieldStep>> ResolvePath(const std::string& path) {
  std::vector<FieldStep> steps;
  const Descriptor* type = ExperimentConfig::descriptor();
  std::string walked;
  for (absl::string_view part : absl::StrSplit(path, '.')) {
    int index = -1;
    const absl::string_view whole = part;
    if (absl::ConsumeSuffix(&part, "]")) {
      const size_t bracket = part.rfind('[');
      // Refuses 01 and +1, which SimpleAtoi() accepts.
      if (bracket == absl::string_view::npos ||
          !absl::SimpleAtoi(part.substr(bracket + 1), &index) || index < 0 ||
          absl::StrCat(index) != part.substr(bracket + 1)) {
        return absl::InvalidArgumentError(absl::StrCat(whole, ": an index is [0], [1], ..."));
      }
      part = part.substr(0, bracket);
    }
    if (type == nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat(walked, ": is a single value and has no field ", part));
    }
    if (part.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", path, "\": expected a path such as optimizer.sgd.lr"));
    }
    const FieldDescriptor* field = type->FindFieldByName(std::string(part));
    if (field == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(JoinPath(walked, part), ": no such field in ",
                                                     type->name(), "; ", SuggestField(type, part)));
    }
    walked = JoinPath(walked, whole);
    if (index >= 0 && !field->is_repeated()) {
      return absl::InvalidArgumentError(absl::StrCat(walked, ": ", part, " is not a list"));
    }
    steps.push_back({field, index});
    type = field->message_type();
  }
  return steps;
}

}  // namespace finetune
