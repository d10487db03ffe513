// Fuzzes the reader of TensorBoard's event files. RemoveEventFiles() reads the first event of a
// file, because it deletes only files that finetune wrote.
#include "src/observe/event_file.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::WriteInput("events.out.tfevents.0000000001.host.1", finetune::Text(data, size));
  (void)finetune::RemoveEventFiles(finetune::InputFolder());
  return 0;
}
