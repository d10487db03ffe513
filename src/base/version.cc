#include "src/base/version.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace finetune {

bool IsOwnWriter(absl::string_view writer) { return absl::StartsWith(writer, "finetune "); }

absl::Status CheckFormatVersion(int64_t found, int64_t known, absl::string_view writer) {
  if (found <= known) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("is ", found, writer.empty() ? "" : absl::StrCat(", written by ", writer), "; ",
                   kFinetuneWriter, " reads formats up to ", known, ": use ",
                   writer.empty() ? "the version that wrote it" : writer, " or a newer one"));
}

}  // namespace finetune
