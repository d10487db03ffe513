// Fuzzes the readers of image lists and class lists. An input has two parts, separated by a line
// "----": a list of images, which is read as text and as CSV, and a list of classes.
#include "data_tools/converters.h"
#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::vector<absl::string_view> parts =
      finetune::Parts(finetune::Text(data, size), /*count=*/2);
  finetune::WriteInput("a.ppm", "P6 1 1 255\nabc");
  finetune::ListOptions list;
  list.root = finetune::InputFolder();
  if (!parts[1].empty()) list.classes = finetune::WriteInput("classes.txt", parts[1]);
  finetune::ConvertOptions options;
  options.output = finetune::InputFolder() + "/data";
  options.progress = [](const std::string&, int64_t, int64_t) { return false; };
  options.warn = [](const std::string&) {};
  finetune::FolderOptions folder;
  folder.threads = 1;
  for (const char* name : {"list.txt", "list.csv"}) {
    options.input = finetune::WriteInput(name, parts[0]);
    (void)finetune::ConvertImageList(options, list, folder);
  }
  return 0;
}
