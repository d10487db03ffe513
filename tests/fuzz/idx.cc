// Fuzzes the readers of MNIST and EMNIST. An input has three parts, separated by lines "----": the
// file of images, the file of labels, and EMNIST's mapping of classes, which is empty for MNIST.
#include "data_tools/converters.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<absl::string_view> parts =
      finetune::Parts(finetune::Text(data, size), /*count=*/3);
  const bool emnist = !parts[2].empty();
  const std::string prefix = emnist ? "emnist-letters-" : "";
  for (const char* split : {"train", "test", "t10k"}) {
    finetune::WriteInput(prefix + split + "-images-idx3-ubyte", parts[0]);
    finetune::WriteInput(prefix + split + "-labels-idx1-ubyte", parts[1]);
  }
  finetune::WriteInput("emnist-letters-mapping.txt", parts[2]);
  finetune::ConvertOptions options;
  options.input = finetune::InputFolder();
  options.output = finetune::InputFolder() + "/data";
  options.progress = [](const std::string&, int64_t, int64_t) { return false; };
  (void)finetune::ConvertMnist(options, {emnist ? "letters" : "", emnist});
  return 0;
}
