#include "src/train/step_graph.h"

#include <c10/core/CachingDeviceAllocator.h>

#include "absl/cleanup/cleanup.h"
#include "src/train/device.h"

namespace finetune {
namespace {

// The number of ordinary runs before the recording: the default of num_warmup_iters of PyTorch's
// torch.cuda.make_graphed_callables.
constexpr int kRunsBefore = 3;

}  // namespace

absl::StatusOr<at::Tensor> StepGraph::Run(const Batch& batch, const Passes& passes) {
  if (graph_ == nullptr) {
    if (++runs_ <= kRunsBefore) return passes(batch);
    Record(batch, passes);
  }
  for (size_t i = 0; i < input_.tensors().size(); ++i) {
    const at::Tensor& from = *batch.tensors()[i];
    if (from.defined()) input_.tensors()[i]->copy_(from);
  }
  graph_->replay();
  FT_RETURN_IF_ERROR(comm_.Replay());
  return output_;
}

void StepGraph::Record(const Batch& batch, const Passes& passes) {
  input_ = batch;
  for (at::Tensor* tensor : input_.tensors()) {
    if (tensor->defined()) *tensor = tensor->clone();
  }
  // Frees the memory that the earlier runs left in LibTorch's allocator. The graph allocates from
  // its own pool and cannot use that memory.
  DevicePoint(device_).Wait();
  if (!device_.is_cpu()) c10::getDeviceAllocator(device_.type())->emptyCache();

  std::unique_ptr<at::GraphImplInterface> graph = at::create_graph_impl(device_.type());
  comm_.BeginRecording();
  const auto end = absl::MakeCleanup([this] { comm_.EndRecording(); });
  // ThreadLocal lets other threads use the device during the recording: NCCL's watchdog thread
  // queries events.
  graph->capture_begin({0, 0}, at::GraphCaptureMode::ThreadLocal);
  output_ = passes(input_);
  graph->capture_end();
  graph_ = std::move(graph);
}

}  // namespace finetune
