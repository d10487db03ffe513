#ifndef FINETUNE_MAIN_EXIT_CODE_H_
#define FINETUNE_MAIN_EXIT_CODE_H_

#include "absl/status/status.h"

namespace finetune {

inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;     // the flags or the config are wrong
inline constexpr int kExitStopped = 75;  // EX_TEMPFAIL: run again with --resume=auto

// Prints an error on stderr, on rank 0 only, because all ranks have the same error. Returns the
// exit code for the error; kExitDone for OK.
int ReportError(const absl::Status& status, int rank);

}  // namespace finetune

#endif  // FINETUNE_MAIN_EXIT_CODE_H_
