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

// A step's forward and backward pass, recorded as a CUDA graph and then submitted to the GPU as a
// whole. With few images per rank, launching a thousand kernels one by one takes longer than
// running them.
class StepGraph {
 public:
  // The forward and backward pass. They may depend only on the batch's shapes, its global size and
  // the contents of memory; they must not wait for the device; their all-reduces go through the
  // ReplayCommunicator. They return the step's result.
  using Passes = std::function<at::Tensor(const Batch&)>;

  // Returns whether LibTorch can record work of `device`.
  static bool RunsOn(at::Device device) { return at::has_graph_impl(device.type()); }

  // `comm` must outlive this object.
  StepGraph(at::Device device, ReplayCommunicator* comm) : device_(device), comm_(*comm) {}

  // Runs the passes over `batch`, which is on the device. In the first few calls kernels are
  // launched one by one, while libraries choose their algorithms and allocate memory; later calls
  // replay the recording. Every batch must have the same shapes. The next call overwrites the
  // result. Errors: those of the all-reduces.
  absl::StatusOr<at::Tensor> Run(const Batch& batch, const Passes& passes);

 private:
  void Record(const Batch& batch, const Passes& passes);

  const at::Device device_;
  ReplayCommunicator& comm_;
  int runs_ = 0;
  std::unique_ptr<at::GraphImplInterface> graph_;
  // The tensors that the recorded passes read and write.
  Batch input_;
  at::Tensor output_;
};

}  // namespace finetune

#endif  // FINETUNE_TRAIN_STEP_GRAPH_H_
