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

// During its life this thread's GPU work goes to a stream of its own. The default stream, which
// others wait for, cannot be recorded.
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
  // Returns when the device has reached the point.
  void Wait() const;

 private:
  std::optional<c10::Event> event_;
};

// A number that a device computes. It is read when it is ready, without delaying later work of the
// device.
class LateNumber {
 public:
  // `value`: [] of any type.
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

// A loader's batches, on the device that computes.
class DeviceBatches {
 public:
  // `loader` must outlive it. For a GPU its batches should be pinned.
  DeviceBatches(BatchLoader* loader, at::Device device)
      : loader_(*loader), device_(device), pipeline_(loader->PipelineOn(device)) {}

  // As BatchLoader::Next(). On a GPU the batch is still being copied; the current stream's later
  // work waits for it.
  absl::StatusOr<Batch> Next();

  // Returns a batch's images as the model takes them. Images that are still as stored are prepared
  // here.
  at::Tensor Images(const Batch& batch) const {
    return pipeline_.has_value() ? pipeline_->Apply(batch) : batch.images;
  }

 private:
  BatchLoader& loader_;
  const at::Device device_;
  const std::optional<DevicePipeline> pipeline_;
  // The point at which the device has the last batch, so that the loader may fill the memory again.
  std::optional<DevicePoint> taken_;
};

// Returns this process's peak memory: a GPU's, or on the CPU the host's.
int64_t PeakMemoryMebibytes(at::Device device);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_DEVICE_H_
