#include "src/train/step_graph.h"

#include <c10/core/CachingDeviceAllocator.h>

#include "absl/cleanup/cleanup.h"
#include "src/train/device.h"

namespace finetune {
namespace {

// As many as PyTorch's own wrapper of data-parallel modules wants at the least.
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
  // What the runs before have left in the allocator is of no use to a graph, which has memory of
  // its own.
  DevicePoint(device_).Wait();
  if (!device_.is_cpu()) c10::getDeviceAllocator(device_.type())->emptyCache();

  std::unique_ptr<at::GraphImplInterface> graph = at::create_graph_impl(device_.type());
  comm_.BeginRecording();
  const auto end = absl::MakeCleanup([this] { comm_.EndRecording(); });
  // Other threads go on with the device meanwhile: the watchdog's looks at events.
  graph->capture_begin({0, 0}, at::GraphCaptureMode::ThreadLocal);
  output_ = passes(input_);
  graph->capture_end();
  graph_ = std::move(graph);
}

}  // namespace finetune
