#ifndef FINETUNE_BASE_ANNOTATE_H_
#define FINETUNE_BASE_ANNOTATE_H_

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace finetune {

// The same error with "<context>: " before its message; an OK status as it is.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(context, ": ", status.message()));
}

}  // namespace finetune

#endif  // FINETUNE_BASE_ANNOTATE_H_
