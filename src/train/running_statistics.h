#ifndef FINETUNE_TRAIN_RUNNING_STATISTICS_H_
#define FINETUNE_TRAIN_RUNNING_STATISTICS_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// Keeps the batch norms' running statistics the same on every rank: their mean over the ranks,
// after each iteration, in one all-reduce that runs beside those of the gradients. So validation
// and checkpoints see all pictures' statistics, and a resumed run has what the interrupted one had.
class RunningStatistics {
 public:
  // Moves the floating-point `buffers` into flat memory.
  static absl::StatusOr<std::unique_ptr<RunningStatistics>> Create(const TensorList& buffers,
                                                                   Communicator* comm);

  // The number of values that are averaged.
  int64_t size() const { return values_.defined() ? values_.numel() : 0; }

  // After the last forward pass of an iteration.
  void Start();
  // Before the statistics are used again; nothing to do where Start() was not called since.
  absl::Status Finish();

 private:
  explicit RunningStatistics(Communicator* comm) : comm_(*comm) {}

  Communicator& comm_;
  at::Tensor values_;
  absl::StatusOr<std::unique_ptr<Communicator::Work>> work_ = std::unique_ptr<Communicator::Work>();
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_RUNNING_STATISTICS_H_
