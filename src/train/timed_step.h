#ifndef FINETUNE_TRAIN_TIMED_STEP_H_
#define FINETUNE_TRAIN_TIMED_STEP_H_

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "absl/strings/string_view.h"
#include "src/data/batch.h"

namespace finetune {

// What commands that measure a TrainingStep share: a batch to give it and a stopwatch.

struct RandomImages {
  int64_t count = 0;  // images of this rank
  int64_t channels = 3, height = 0, width = 0;
  int64_t classes = 0;
  bool bfloat16 = false;  // the type of the images; else float32
  at::Device device = at::kCPU;
};

// Returns a batch of prepared images of random noise with random labels. The global batch has
// `ranks` times as many images.
Batch RandomBatch(const RandomImages& images, int ranks);

// Sums the time of each phase of TrainingStep::Run() over the passes of an iteration.
class PhaseTimer {
 public:
  // Ends the running phase, if there is one, and begins `phase`.
  void Begin(absl::string_view phase);
  // Ends the running phase. Call it when Run() has returned.
  void End();

  // Returns the seconds that all phases of this name took together; 0 where there was none.
  double Seconds(const std::string& phase) const;

 private:
  using Clock = std::chrono::steady_clock;

  std::string running_;  // empty: none
  Clock::time_point start_;
  std::map<std::string, double> seconds_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_TIMED_STEP_H_
