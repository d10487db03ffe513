#include "src/train/device.h"

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <sys/resource.h>

#include <fstream>

namespace finetune {
namespace {

c10::Stream StreamOf(int gpu) {
  at::globalContext().lazyInitDevice(at::kCUDA);
  return c10::impl::VirtualGuardImpl(at::kCUDA).getStreamFromGlobalPool(
      at::Device(at::kCUDA, static_cast<at::DeviceIndex>(gpu)));
}

}  // namespace

OwnStream::OwnStream(int gpu) : guard_(StreamOf(gpu)) {}

DevicePoint::DevicePoint(at::Device device) {
  if (device.is_cpu()) return;
  event_.emplace(device.type());
  event_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

void DevicePoint::Wait() const {
  if (event_.has_value()) event_->synchronize();
}

absl::StatusOr<Batch> DeviceBatches::Next() {
  if (taken_.has_value()) taken_->Wait();
  FT_ASSIGN_OR_RETURN(Batch batch, loader_.Next());
  if (device_.is_cpu()) return batch;
  for (at::Tensor* tensor : batch.tensors()) {
    if (!tensor->defined()) continue;
    *tensor = tensor->to(at::TensorOptions(device_), /*non_blocking=*/true);
  }
  taken_.emplace(device_);
  return batch;
}

int64_t PeakMemoryMebibytes(at::Device device) {
  if (!device.is_cpu()) {
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    return c10::getDeviceAllocator(device.type())
               ->getDeviceStats(device.index())
               .reserved_bytes[all]
               .peak >>
           20;
  }
  struct rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

void ResetPeakMemory(at::Device device) {
  if (device.is_cpu()) {
    // Linux sets the largest resident set to the present one.
    std::ofstream("/proc/self/clear_refs") << "5";
    return;
  }
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(device.type());
  allocator->emptyCache();
  allocator->resetPeakStats(device.index());
}

}  // namespace finetune
