#ifndef FINETUNE_BASE_EXIT_CODE_H_
#define FINETUNE_BASE_EXIT_CODE_H_

#include "absl/status/status.h"

namespace finetune {

// The exit codes of finetune and prepare_dataset.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
// The flags or the config are wrong, or a file that they name is: it does not exist, is of another
// kind than expected (an empty file is of no kind), or is there already and must not be replaced. A
// file of the right kind that is damaged is kExitFailed.
inline constexpr int kExitUsage = 2;
inline constexpr int kExitStopped = 75;  // EX_TEMPFAIL: run again with --resume=auto

// Prints an error on stderr, on rank 0 only, because all ranks have the same error. Returns the
// exit code for the error; kExitDone for OK.
int ReportError(const absl::Status& status, int rank);

}  // namespace finetune

#endif  // FINETUNE_BASE_EXIT_CODE_H_
