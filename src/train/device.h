#ifndef FINETUNE_TRAIN_DEVICE_H_
#define FINETUNE_TRAIN_DEVICE_H_

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

#include <cstdint>
#include <optional>

#include "src/base/status_macros.h"
#include "src/data/device_pipeline.h"
#include "src/data/loader.h"

namespace finetune {

// The differences between a GPU, which works asynchronously, and the CPU, where every call has
// finished when it returns.

// While this object exists, this thread's GPU work goes to a stream of its own. CUDA cannot record
// a graph on the default stream, because other streams synchronize with it.
class OwnStream {
 public:
  // `gpu`: the GPU's number.
  explicit OwnStream(int gpu);

 private:
  c10::StreamGuard guard_;
};

// A point in the sequence of work that a device has been given.
class DevicePoint {
 public:
  // The point after all earlier work of the current stream of `device`.
  explicit DevicePoint(at::Device device);
  // Blocks until the device has done all work before the point.
  void Wait() const;

 private:
  std::optional<c10::Event> event_;
};

// A number that a device computes. Read() waits until the number is ready, without delaying later
// work of the device.
class LateNumber {
 public:
  // `value`: a scalar tensor of any type.
  explicit LateNumber(const at::Tensor& value)
      : value_(value.to(at::TensorOptions(at::kCPU), /*non_blocking=*/true)),
        there_(value.device()) {}
  double Read() const {
    there_.Wait();
    return value_.item<double>();
  }

 private:
  at::Tensor value_;
  DevicePoint there_;
};

// A loader's batches, copied to the device that computes.
class DeviceBatches {
 public:
  // `loader` must outlive this object. For a GPU the loader's batches should be in pinned memory,
  // so that copies run asynchronously.
  DeviceBatches(BatchLoader* loader, at::Device device)
      : loader_(*loader), device_(device), pipeline_(loader->PipelineOn(device)) {}

  // Returns the loader's next batch on the device. On a GPU the copy may still be running; later
  // work of the current stream waits for it. Errors: those of BatchLoader::Next().
  absl::StatusOr<Batch> Next();

  // Returns a batch's images as the model takes them. Where the loader leaves the pipeline to the
  // device, the images arrive as stored and this function applies the pipeline.
  at::Tensor Images(const Batch& batch) const {
    return pipeline_.has_value() ? pipeline_->Apply(batch) : batch.images;
  }

 private:
  BatchLoader& loader_;
  const at::Device device_;
  const std::optional<DevicePipeline> pipeline_;
  // The end of the last batch's copy to the device. After it the loader may reuse the batch's
  // memory.
  std::optional<DevicePoint> taken_;
};

// Returns this process's peak memory in MiB: the memory that LibTorch reserved on a GPU, or for the
// CPU the process's largest resident set.
int64_t PeakMemoryMebibytes(at::Device device);

// Makes PeakMemoryMebibytes() forget the peak before this call. On a GPU it also gives memory that
// no tensor uses back to the device. On the CPU it does nothing where /proc cannot be written.
void ResetPeakMemory(at::Device device);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_DEVICE_H_
