#include "src/comm/graph_mark.h"

#ifdef FINETUNE_CUDA
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace finetune {

#ifdef FINETUNE_CUDA

struct GraphMark::Event {
  explicit Event(c10::DeviceIndex device)
      : waiting(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, device)) {
    event.record(c10::cuda::getCurrentCUDAStream(device));
  }
  at::cuda::CUDAEvent event{cudaEventDisableTiming | cudaEventExternal};
  c10::cuda::CUDAStream waiting;
};

struct GraphMark::After::Stream {
  explicit Stream(Event& mark) : guard(mark.waiting) { mark.event.block(mark.waiting); }
  c10::cuda::CUDAStreamGuard guard;
};

GraphMark::GraphMark(int device) {
  if (device >= 0) event_ = std::make_unique<Event>(static_cast<c10::DeviceIndex>(device));
}

GraphMark::After::After(const GraphMark& mark) {
  if (mark.event_ != nullptr) stream_ = std::make_unique<Stream>(*mark.event_);
}

#else

struct GraphMark::Event {};
struct GraphMark::After::Stream {};
GraphMark::GraphMark(int /*device*/) {}
GraphMark::After::After(const GraphMark& /*mark*/) {}

#endif

GraphMark::GraphMark(GraphMark&&) noexcept = default;
GraphMark& GraphMark::operator=(GraphMark&&) noexcept = default;
GraphMark::~GraphMark() = default;
GraphMark::After::~After() = default;

}  // namespace finetune
