#include "src/base/exit_code.h"

#include <cstdio>
#include <string>

namespace finetune {

int ReportError(const absl::Status& status, int rank) {
  if (status.ok()) return kExitDone;
  if (rank == 0) std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kAlreadyExists:
      return kExitUsage;
    default:
      return kExitFailed;
  }
}

}  // namespace finetune
