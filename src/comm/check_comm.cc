#include "src/comm/check_comm.h"

#include "absl/strings/str_format.h"

namespace finetune {

void CheckComm(const CommConfig& config, const Problems& problems) {
  problems.InRange("bucket_mebibytes", config.bucket_mebibytes(), 0.001, 65536);
  problems.InRange("first_bucket_mebibytes", config.first_bucket_mebibytes(), 0.001, 65536);
  problems.Positive("stall_warning_seconds", config.stall_warning_seconds());
  if (problems.Finite("timeout_seconds", config.timeout_seconds()) &&
      config.timeout_seconds() < config.stall_warning_seconds()) {
    problems.Error("timeout_seconds",
                   absl::StrFormat("is %g; expected at least comm.stall_warning_seconds, %g",
                                   config.timeout_seconds(), config.stall_warning_seconds()));
  }
}

}  // namespace finetune
