// TensorBoard's event files. finetune reads the first event, to delete only files of its own.
#include "src/observe/event_file.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  finetune::WriteInput("events.out.tfevents.0000000001.host.1", finetune::Text(data, size));
  (void)finetune::RemoveEventFiles(finetune::InputFolder());
  return 0;
}
