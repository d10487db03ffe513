#include "src/host/gpus.h"

#ifdef FINETUNE_CUDA
#include <cuda_runtime.h>
#endif

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace finetune {

std::string DescribeGpu(const std::string& name, uint64_t free_bytes, uint64_t total_bytes) {
  const auto gibibytes = [](uint64_t bytes) { return static_cast<double>(bytes) / (1 << 30); };
  return absl::StrFormat("the GPU is %s, %.1f of its %.1f GiB of memory are free", name,
                         gibibytes(free_bytes), gibibytes(total_bytes));
}

std::string WithGpu(absl::string_view message, absl::string_view description) {
  return description.empty() ? std::string(message) : absl::StrCat(message, " (", description, ")");
}

#ifdef FINETUNE_CUDA

Gpus VisibleGpus() {
  Gpus gpus;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  const cudaError_t counted = cudaGetDeviceCount(&gpus.count);
  if (counted != cudaSuccess) {
    gpus.count = 0;
    // CUDA reports a missing driver as a driver that is too old.
    gpus.why_none = driver == 0 ? "there is no NVIDIA driver"
                    : counted == cudaErrorNoDevice
                        ? "there is no GPU, or CUDA_VISIBLE_DEVICES hides it"
                        : absl::StrCat("CUDA does not start: ", cudaGetErrorString(counted));
    // Clears the error, which the next call would report again.
    cudaGetLastError();
    return gpus;
  }
  cudaDeviceProp first = {};
  if (cudaGetDeviceProperties(&first, 0) == cudaSuccess) {
    gpus.name = first.name;
    gpus.bfloat16 = first.major >= 8;
  }
  return gpus;
}

std::string DescribeCurrentGpu() {
  int device = 0;
  cudaDeviceProp gpu = {};
  size_t free_bytes = 0, total_bytes = 0;
  const bool answers = cudaGetDevice(&device) == cudaSuccess &&
                       cudaGetDeviceProperties(&gpu, device) == cudaSuccess &&
                       cudaMemGetInfo(&free_bytes, &total_bytes) == cudaSuccess;
  // Clears the error, which the next call would report again.
  cudaGetLastError();
  return answers ? DescribeGpu(gpu.name, free_bytes, total_bytes) : "";
}

#else

std::string DescribeCurrentGpu() { return ""; }

Gpus VisibleGpus() {
  return {.why_none = "this program was built without CUDA (bazel build --config=cuda)"};
}

#endif

}  // namespace finetune
