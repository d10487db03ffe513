// Fuzzes the readers of CIFAR-10 and CIFAR-100. An input that begins like a pickle stands for the
// files of the Python version, any other input for those of the binary version.
#include <cstdio>

#include "data_tools/converters.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const bool python = size > 0 && data[0] == 0x80;
  const std::string folder = finetune::InputFolder();
  const std::string ending = python ? "" : ".bin";
  for (const char* name : {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                           "data_batch_5", "test_batch", "train", "test"}) {
    std::remove((folder + "/" + name + (python ? ".bin" : "")).c_str());
    finetune::WriteInput(name + ending, finetune::Text(data, size));
  }
  for (const char* name : {"batches.meta", "meta"}) {
    finetune::WriteInput(name, finetune::Text(data, size));
  }
  finetune::ConvertOptions options;
  options.input = folder;
  options.output = folder + "/data";
  options.progress = [](const std::string&, int64_t, int64_t) { return false; };
  (void)finetune::ConvertCifar10(options);
  (void)finetune::ConvertCifar100(options);
  return 0;
}
