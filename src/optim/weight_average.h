#ifndef FINETUNE_OPTIM_WEIGHT_AVERAGE_H_
#define FINETUNE_OPTIM_WEIGHT_AVERAGE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// An average of the weights, of one of two kinds. After each iteration, with the share of that
// iteration:
//   average += share * (weights - average).
// - EMA (Polyak and Juditsky 1992), as timm's ModelEmaV3 defines it: the share is 1 - decay. The
//   first iteration's decay is 0, so after it the average equals the weights.
// - SWA (Izmailov et al. 2018), as torch.optim.swa_utils.AveragedModel defines it: the share is 1 /
// n
//   after the last iteration of the n-th averaged epoch, and 0 after all other iterations.
// Every rank has the same weights and computes the same average, without communication.
class WeightAverage {
 public:
  // Check the configs. Errors go to `problems`, which must be those of the message optimizer.ema or
  // optimizer.swa.
  static void Check(const EmaConfig& config, const Problems& problems);
  static void CheckSwa(const SwaConfig& config, const Problems& problems);

  // Start with averages equal to `sources`. `sources`: contiguous float32 tensors that share the
  // memory of the weights, so that training changes them in place.
  WeightAverage(const EmaConfig& config, std::vector<at::Tensor> sources);
  WeightAverage(const SwaConfig& config, int64_t iterations_per_epoch,
                std::vector<at::Tensor> sources);

  // Moves the averages towards the sources. Must be called after the optimizer's step of each
  // iteration. `iteration`: counted from 0 at the start of the run. Allocates no memory.
  void Update(int64_t iteration);

  // Returns whether any weights have been averaged after this number of iterations.
  bool HasBegun(int64_t iterations) const;

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
  // Returns the share of the sources that Update() moves into the averages.
  double ShareAt(int64_t iteration) const;

  // Unset: the average is an EMA.
  const std::optional<SwaConfig> swa_;
  const EmaConfig ema_;
  const int64_t iterations_per_epoch_ = 1;
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
