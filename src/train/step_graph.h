#ifndef FINETUNE_TRAIN_STEP_GRAPH_H_
#define FINETUNE_TRAIN_STEP_GRAPH_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "src/base/status_macros.h"
#include "src/comm/replay_communicator.h"
#include "src/data/batch.h"
#include "src/tensor/libtorch_bridge.h"

namespace finetune {

// A step's forward and backward pass, recorded once and from then on given to the GPU whole (CUDA
// graphs): with few pictures a rank, launching a thousand kernels one by one takes longer than
// running them.
class StepGraph {
 public:
  // The passes: they depend on the batch's shapes and global size, on what is in memory, and on
  // nothing else that changes; they do not wait for the device; their all-reduces go through the
  // ReplayCommunicator. Returns what the step is to return.
  using Passes = std::function<at::Tensor(const Batch&)>;

  // Whether LibTorch can record what `device` is given to do.
  static bool RunsOn(at::Device device) { return at::has_graph_impl(device.type()); }

  // `comm` must outlive it.
  StepGraph(at::Device device, ReplayCommunicator* comm) : device_(device), comm_(*comm) {}

  // Runs the passes over `batch`, which is on the device: one by one the first few times, while
  // libraries choose their algorithms and set up their memory, and replayed later. Every batch has
  // the same shapes. The result is overwritten by the next call. Errors: of the all-reduces.
  absl::StatusOr<at::Tensor> Run(const Batch& batch, const Passes& passes);

 private:
  void Record(const Batch& batch, const Passes& passes);

  const at::Device device_;
  ReplayCommunicator& comm_;
  int runs_ = 0;
  std::unique_ptr<at::GraphImplInterface> graph_;
  // What the recorded passes read and write.
  Batch input_;
  at::Tensor output_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_STEP_GRAPH_H_
