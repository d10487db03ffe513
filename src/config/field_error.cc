#include "src/config/field_error.h"

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

constexpr char kPayload[] = "finetune/config_field";

}  // namespace

absl::Status FieldError(absl::string_view field, absl::string_view what) {
  absl::Status status = absl::InvalidArgumentError(absl::StrCat(field, ": ", what));
  status.SetPayload(kPayload, absl::Cord(field));
  return status;
}

std::string FieldOf(const absl::Status& status) {
  return std::string(status.GetPayload(kPayload).value_or(absl::Cord()));
}

}  // namespace finetune
