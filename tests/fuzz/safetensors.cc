// Fuzzes the reader of safetensors files. After each mutation the mutator corrects the header's
// length, so that the header is parsed at all. It takes the last "}" of the file for the header's
// end.
#include <cstring>

#include "tests/fuzz/checkpoint_input.h"
#include "tests/fuzz/input.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed) {
  size = LLVMFuzzerMutate(data, size, max_size);
  const size_t end = finetune::Text(data, size).rfind('}');
  // One mutation in eight keeps its length as it is, so that wrong lengths are tested too.
  if (seed % 8 == 0 || end == absl::string_view::npos || end < 9) return size;
  const uint64_t header = end + 1 - sizeof(header);
  std::memcpy(data, &header, sizeof(header));
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::ReadCheckpoint(finetune::Text(data, size));
  return 0;
}
