#ifndef FINETUNE_CONFIG_FIELD_ERROR_H_
#define FINETUNE_CONFIG_FIELD_ERROR_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns an InvalidArgument error about one field of a config: "<field>: <what>". The error also
// carries the field as a payload, so that a caller that knows where the field was written can add
// the place: see LoadedConfig::WithPlace().
absl::Status FieldError(absl::string_view field, absl::string_view what);

// Returns the field of an error that FieldError() made; "" for other errors.
std::string FieldOf(const absl::Status& status);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_FIELD_ERROR_H_
