#ifndef FINETUNE_TESTS_TEST_DEVICE_H_
#define FINETUNE_TESTS_TEST_DEVICE_H_

#include <ATen/core/Tensor.h>

namespace finetune {

// The device that tests of code for any device run on: the CPU, or GPU 0 where the environment has
// FINETUNE_TEST_DEVICE=cuda (tools/gpu/check.sh). float32 on a GPU is then float32, not TF32. A
// process that is to use a GPU and has none ends with an error, so no test passes on the CPU
// instead.
at::Device TestDevice();

}  // namespace finetune

#endif  // FINETUNE_TESTS_TEST_DEVICE_H_
