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
// The first iteration's decay is 0, so after it the average equals the weights. Every rank has the
// same weights and computes the same average, without communication.
class WeightAverage {
 public:
  // Checks the config. Errors go to `problems`, which must be those of the message optimizer.ema.
  static void Check(const EmaConfig& config, const Problems& problems);

  // Starts with averages equal to `sources`. `sources`: contiguous float32 tensors that share the
  // memory of the weights, so that training changes them in place.
  WeightAverage(const EmaConfig& config, std::vector<at::Tensor> sources);

  // Returns the decay that Update() uses. `iteration`: counted from 0 at the start of the run.
  double DecayAt(int64_t iteration) const;

  // Moves the averages towards the sources. Must be called after the optimizer's step of each
  // iteration. `iteration`: as in DecayAt(). Allocates no memory.
  void Update(int64_t iteration);

  // Makes the averages equal to the sources.
  void Reset();

  // Exchanges the values of the averages and of the sources. A second call restores both, bit for
  // bit.
  void Swap();

  // Returns the averages, in the order of the sources. They share memory with this object.
  const std::vector<at::Tensor>& averages() const { return averages_; }

  // Returns `tensors`, with each tensor that is a view of a source replaced by the same view of
  // that source's average. The views share memory with this object. Other tensors stay.
  TensorList Of(TensorList tensors) const;

 private:
  const EmaConfig config_;
  const std::vector<at::Tensor> sources_;
  std::vector<at::Tensor> averages_;
};

// While this object exists, the weights have the values of the averages. `average` may be null;
// then the weights do not change.
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
