// .pth files as PyTorch wrote them before 1.6: pickles, then storages.
#include "tests/fuzz/checkpoint_input.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::ReadCheckpoint(finetune::Text(data, size));
  return 0;
}
