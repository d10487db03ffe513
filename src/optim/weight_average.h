#ifndef FINETUNE_OPTIM_WEIGHT_AVERAGE_H_
#define FINETUNE_OPTIM_WEIGHT_AVERAGE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// An exponential moving average of the weights (Polyak and Juditsky 1992), as timm's ModelEmaV3
// defines it. After each iteration, with the decay of that iteration:
//   average += (1 - decay) * (weights - average).
// The first iteration's decay is 0, so the average starts at the weights after it. Every rank has
// the same weights and so computes the same average, without communication.
class WeightAverage {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message optimizer.ema.
  static void Check(const EmaConfig& config, const Problems& problems);

  // Keeps one average of each tensor of `sources`, which are contiguous float32, and starts at
  // their values. The sources are the memory that holds the weights: training changes them in
  // place.
  WeightAverage(const EmaConfig& config, std::vector<at::Tensor> sources);

  // Returns the decay of an iteration, counted from 0 at the start of the run.
  double DecayAt(int64_t iteration) const;

  // Moves the averages towards the sources. Call it after the optimizer's step. `iteration`: as in
  // DecayAt(). Allocates nothing.
  void Update(int64_t iteration);

  // Makes the averages equal to the sources.
  void Reset();

  // Exchanges the values of the averages and of the sources. A second call restores both, bit for
  // bit.
  void Swap();

  // Returns the averages, in the order of the sources. They share memory with this object.
  const std::vector<at::Tensor>& averages() const { return averages_; }

  // Returns the same list, in which each tensor that is a part of a source is replaced by the same
  // part of the average. The result shares memory with this object.
  TensorList Of(TensorList tensors) const;

 private:
  const EmaConfig config_;
  const std::vector<at::Tensor> sources_;
  std::vector<at::Tensor> averages_;
};

// Puts the averages in the place of the weights while this object exists. `average` may be null;
// then nothing happens.
class AveragesInPlace {
 public:
  explicit AveragesInPlace(WeightAverage* average) : average_(average) {
    if (average_ != nullptr) average_->Swap();
  }
  ~AveragesInPlace() {
    if (average_ != nullptr) average_->Swap();
  }
  AveragesInPlace(const AveragesInPlace&) = delete;
  AveragesInPlace& operator=(const AveragesInPlace&) = delete;

 private:
  WeightAverage* const average_;
};

}  // namespace finetune

#endif  // FINETUNE_OPTIM_WEIGHT_AVERAGE_H_
