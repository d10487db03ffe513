#ifndef FINETUNE_TRAIN_STATISTICS_PASS_H_
#define FINETUNE_TRAIN_STATISTICS_PASS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/data/batch.h"
#include "src/model/classifier.h"
#include "src/train/training_step.h"

namespace finetune {

// Computes the running statistics of the model's present weights anew, from training images
// (Izmailov et al. 2018), as torch.optim.swa_utils.update_bn does: each statistic becomes its mean
// over the forward passes of all ranks, each of which has the same share. Weights and the batch
// counters do not change.
class StatisticsPass {
 public:
  // All must outlive this object. `step` is that of `model`.
  StatisticsPass(Classifier* model, TrainingStep* step, Communicator* comm);
  // Restores the batch counters, and, unless Finish() has succeeded, the statistics.
  ~StatisticsPass();
  StatisticsPass(const StatisticsPass&) = delete;
  StatisticsPass& operator=(const StatisticsPass&) = delete;

  // Runs this rank's part of a batch forward, as training does but without gradients. `images` and
  // `iteration`: as for TrainingStep::Run().
  void Run(const Batch& batch, const TrainingStep::Images& images, int64_t iteration);

  // Makes the statistics the mean over all ranks. Collective. Errors: those of the all-reduces.
  absl::Status Finish();

 private:
  Classifier& model_;
  TrainingStep& step_;
  Communicator& comm_;
  int64_t passes_ = 0;  // the passes that this rank has run
  bool finished_ = false;
  at::Tensor before_;  // the statistics before the first pass; undefined if there are none
  // The batch counters and their values before the first pass.
  std::vector<std::pair<at::Tensor, at::Tensor>> counters_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_STATISTICS_PASS_H_
