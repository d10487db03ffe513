#ifndef FINETUNE_TRAIN_RUNNING_STATISTICS_H_
#define FINETUNE_TRAIN_RUNNING_STATISTICS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Keeps the batch norms' running statistics equal on all ranks: after each iteration they are
// averaged over the ranks, in one all-reduce that runs at the same time as those of the gradients.
// So validation and checkpoints use the statistics of all ranks' images, and a resumed run
// continues with the same statistics as the interrupted run.
class RunningStatistics {
 public:
  // Moves the floating-point `buffers` into one contiguous tensor. `averages`: whether they are
  // averaged over the ranks. If false, because they are equal on all ranks, Start() does nothing.
  static absl::StatusOr<std::unique_ptr<RunningStatistics>> Create(const TensorList& buffers,
                                                                   bool averages,
                                                                   Communicator* comm);

  // Returns the number of values that are averaged over the ranks.
  int64_t size() const { return averages_ && values_.defined() ? values_.numel() : 0; }

  // Returns the contiguous tensor with all buffers, [n] float32; undefined if there are no buffers.
  const at::Tensor& values() const { return values_; }

  // Starts the all-reduce. Call it after the last forward pass of an iteration.
  void Start();
  // Waits for the all-reduce. Call it before the statistics are used again. Without a call of
  // Start() it does nothing.
  absl::Status Finish();

 private:
  RunningStatistics(bool averages, Communicator* comm) : averages_(averages), comm_(*comm) {}

  const bool averages_;
  Communicator& comm_;
  at::Tensor values_;
  absl::StatusOr<std::unique_ptr<Communicator::Work>> work_ = std::unique_ptr<Communicator::Work>();
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_RUNNING_STATISTICS_H_
