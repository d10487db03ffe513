#ifndef FINETUNE_BASE_ANNOTATE_H_
#define FINETUNE_BASE_ANNOTATE_H_

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace finetune {

// Returns an error with "<context>: " in front of its message and with its payloads. Returns an OK
// status unchanged.
inline absl::Status Annotate(const absl::Status& status, absl::string_view context) {
  if (status.ok()) return status;
  absl::Status annotated(status.code(), absl::StrCat(context, ": ", status.message()));
  status.ForEachPayload([&](absl::string_view type, const absl::Cord& payload) {
    annotated.SetPayload(type, payload);
  });
  return annotated;
}

}  // namespace finetune

#endif  // FINETUNE_BASE_ANNOTATE_H_
