#include "src/comm/check_comm.h"

namespace finetune {

void CheckComm(const CommConfig& config, const Problems& problems) {
  problems.InRange("bucket_mebibytes", config.bucket_mebibytes(), 0.001, 65536);
  problems.InRange("first_bucket_mebibytes", config.first_bucket_mebibytes(), 0.001, 65536);
  const bool stall = problems.Positive("stall_warning_seconds", config.stall_warning_seconds());
  if (problems.Positive("timeout_seconds", config.timeout_seconds()) && stall) {
    problems.NotBelow("timeout_seconds", config.timeout_seconds(), "stall_warning_seconds",
                      config.stall_warning_seconds());
  }
}

}  // namespace finetune
