#ifndef FINETUNE_TESTS_TEST_DEVICE_H_
#define FINETUNE_TESTS_TEST_DEVICE_H_

#include <ATen/core/Tensor.h>

namespace finetune {

// Returns the device on which tests of device-independent code run: the CPU, or GPU 0 where the
// environment has FINETUNE_TEST_DEVICE=cuda (tools/gpu/check.sh). Then float32 on the GPU is really
// float32, not TF32. A process that should use a GPU and has none ends with an error, so that no
// test passes on the CPU instead.
at::Device TestDevice();

}  // namespace finetune

#endif  // FINETUNE_TESTS_TEST_DEVICE_H_
