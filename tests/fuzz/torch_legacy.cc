// Fuzzes the reader of .pth files in the format that PyTorch wrote before 1.6: pickles, followed by
// the storages.
#include "tests/fuzz/checkpoint_input.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::ReadCheckpoint(finetune::Text(data, size));
  return 0;
}
