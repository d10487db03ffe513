#ifndef FINETUNE_PLAN_CHECK_H_
#define FINETUNE_PLAN_CHECK_H_

#include <string>

#include "src/base/status_macros.h"
#include "src/config/config.h"

namespace finetune {

// Checks a config before a job is queued: everything that a run on `ranks` ranks would check at its
// start (see CheckStart()), and whether a rank fits into this host's memory. Returns notes and
// warnings to print. Errors: those of CheckStart(); InvalidArgument about the batch size where a
// rank does not fit.
absl::StatusOr<std::string> CheckRun(const LoadedConfig& loaded, int ranks);

// Checks that a rank that needs `needed` bytes fits into the `there` bytes of a host's memory.
// `pass`: the number of images in the rank's largest pass. Errors: as for CheckRun().
absl::Status CheckFits(const LoadedConfig& loaded, double needed, double there, int64_t pass);

}  // namespace finetune

#endif  // FINETUNE_PLAN_CHECK_H_
