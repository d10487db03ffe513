#include "src/comm/gpus.h"

#ifdef FINETUNE_CUDA
#include <cuda_runtime.h>
#endif

#include "absl/strings/str_cat.h"

namespace finetune {

#ifdef FINETUNE_CUDA

Gpus VisibleGpus() {
  Gpus gpus;
  int driver = 0;
  cudaDriverGetVersion(&driver);
  const cudaError_t counted = cudaGetDeviceCount(&gpus.count);
  if (counted != cudaSuccess) {
    gpus.count = 0;
    // CUDA calls a missing driver one that is too old.
    gpus.why_none = driver == 0 ? "there is no NVIDIA driver"
                    : counted == cudaErrorNoDevice
                        ? "there is no GPU, or CUDA_VISIBLE_DEVICES hides it"
                        : absl::StrCat("CUDA does not start: ", cudaGetErrorString(counted));
    // The error must not come up again at the next call.
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

#else

Gpus VisibleGpus() {
  return {.why_none = "this program was built without CUDA (bazel build --config=cuda)"};
}

#endif

}  // namespace finetune
