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

// What differs between a GPU, which works behind the caller, and the CPU, where all is done at
// once.

// While it lives, this thread gives a GPU its work on a stream of its own: the default stream,
// which others wait for, cannot be recorded.
class OwnStream {
 public:
  // `gpu`: its number.
  explicit OwnStream(int gpu);

 private:
  c10::StreamGuard guard_;
};

// A point in what a device has been given to do.
class DevicePoint {
 public:
  // After all that the current stream of `device` has been given.
  explicit DevicePoint(at::Device device);
  // Returns when the device has come there.
  void Wait() const;

 private:
  std::optional<c10::Event> event_;
};

// A number that a device works out, to be read when it is there, without holding up what the device
// has been given since.
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

// A loader's batches on the device that computes.
class DeviceBatches {
 public:
  // `loader` must outlive it; on a GPU its batches are best pinned.
  DeviceBatches(BatchLoader* loader, at::Device device)
      : loader_(*loader), device_(device), pipeline_(loader->PipelineOn(device)) {}

  // As BatchLoader::Next(). On a GPU the batch is on its way; what the current stream does next
  // comes after it.
  absl::StatusOr<Batch> Next();

  // A batch's pictures as the model takes them: prepared here where they are as stored.
  at::Tensor Images(const Batch& batch) const {
    return pipeline_.has_value() ? pipeline_->Apply(batch) : batch.images;
  }

 private:
  BatchLoader& loader_;
  const at::Device device_;
  const std::optional<DevicePipeline> pipeline_;
  // Where the device has the last batch, and its memory is the loader's to fill again.
  std::optional<DevicePoint> taken_;
};

// The most memory that this process has had at once: a GPU's, or on the CPU the host's.
int64_t PeakMemoryMebibytes(at::Device device);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_DEVICE_H_
