#ifndef FINETUNE_PLAN_CHECK_H_
#define FINETUNE_PLAN_CHECK_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// Checks a config as far as that is possible before a job is queued: what a run on `ranks` ranks
// would check at its start (see CheckStart()), and whether a rank fits the memory of this host.
// Returns what there is to say, for people. Errors: those of CheckStart(), and an error of the
// batch size where a rank does not fit.
absl::StatusOr<std::string> CheckRun(const LoadedConfig& loaded, int ranks);

// The last part of it: whether a rank that needs `needed` bytes fits into `there`. `pass`: the
// images of its largest pass.
absl::Status CheckFits(const LoadedConfig& loaded, double needed, double there, int64_t pass);

}  // namespace finetune

#endif  // FINETUNE_PLAN_CHECK_H_
