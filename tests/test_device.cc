#include "tests/test_device.h"

#include <ATen/Context.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "src/host/gpus.h"

namespace finetune {
namespace {

at::Device Choose() {
  const char* asked = std::getenv("FINETUNE_TEST_DEVICE");
  const std::string device = asked == nullptr ? "cpu" : asked;
  if (device == "cpu") return at::kCPU;
  if (device != "cuda") {
    std::fprintf(stderr, "FINETUNE_TEST_DEVICE is %s; expected cpu or cuda\n", device.c_str());
    std::exit(1);
  }
  const Gpus gpus = VisibleGpus();
  if (gpus.count == 0) {
    std::fprintf(stderr, "FINETUNE_TEST_DEVICE is cuda and this test needs a GPU: %s\n",
                 gpus.why_none.c_str());
    std::exit(1);
  }
  at::globalContext().lazyInitDevice(at::kCUDA);
  at::globalContext().setAllowTF32CuDNN(false);
  at::globalContext().setDeterministicCuDNN(true);
  return at::Device(at::kCUDA, 0);
}

}  // namespace

at::Device TestDevice() {
  static const at::Device device = Choose();
  return device;
}

}  // namespace finetune
