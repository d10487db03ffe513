// Fuzzes the reader of .pth files in the ZIP format that PyTorch has written since 1.6. The CRC-32
// of an entry would reveal every mutation of its bytes, so the mutator sets all CRC-32 fields to 0,
// as torch.serialization.set_crc32_options(False) does.
#include <cstring>

#include "tests/fuzz/checkpoint_input.h"
#include "tests/fuzz/input.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  size = LLVMFuzzerMutate(data, size, max_size);
  for (size_t i = 0; i + 20 <= size; ++i) {
    if (std::memcmp(data + i, "PK\x01\x02", 4) == 0) std::memset(data + i + 16, 0, 4);
    if (std::memcmp(data + i, "PK\x03\x04", 4) == 0) std::memset(data + i + 14, 0, 4);
    if (std::memcmp(data + i, "PK\x07\x08", 4) == 0) std::memset(data + i + 4, 0, 4);
  }
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::ReadCheckpoint(finetune::Text(data, size));
  return 0;
}
