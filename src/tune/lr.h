#ifndef FINETUNE_TUNE_LR_H_
#define FINETUNE_TUNE_LR_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/tune/lr_curve.h"
#include "src/tune/lr_output.h"

namespace finetune {

// The flags of `finetune lr`. See `finetune help lr`.
struct LrFlags {
  LrTestOptions test;
  // The files to write the curve to; see LrFormat.
  std::vector<std::string> outputs;
  bool force = false;  // whether existing files among `outputs` are replaced
};

// Checks flags that must go together. Errors: InvalidArgument.
absl::Status CheckLrFlags(const LrFlags& flags);

// Trains the config's model with rising learning rates, from the weights and on the batches with
// which a run would begin. The schedule, its warm-up and auto_scale_lr have no effect; all else is
// as in a run: pretrained and frozen weights, augmentation, mixing, class weights, rules by
// parameter. The weights change in memory alone. Collective. Errors before the first iteration:
// those of Prepare(), on every rank. If one rank fails during the test, it ends the job through
// Communicator::Abort().
absl::StatusOr<LrResult> TestLearningRates(const LoadedConfig& loaded, const LrTestOptions& options,
                                           Communicator* comm);

// Runs `finetune lr`: makes the test, prints its table on rank 0, and writes the files that the
// flags name. Collective. Errors, on every rank: those of CheckOutputs(), before the test; those of
// TestLearningRates(); FailedPrecondition after all else is done, where the curve suggests no rate.
absl::Status RunLr(const LoadedConfig& loaded, const LrFlags& flags, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TUNE_LR_H_
