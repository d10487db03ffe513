// Fuzzes the readers of tar files, plain and compressed, and of zip files: lists the names of the
// entries, reads the entries of given names, and unpacks all of them.
#include "data_tools/archive.h"

#include <filesystem>

#include "tests/fuzz/input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = finetune::WriteInput("archive", finetune::Text(data, size));
  (void)finetune::ListFileNames(path);
  (void)finetune::ReadNamedFiles(path, {"data_batch_1.bin", "train-labels-idx1-ubyte"}, 1 << 20);
  const std::string folder = finetune::InputFolder() + "/unpacked";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  (void)finetune::UnpackFiles(
      path, folder, [](const std::string&) { return true; },
      [](int64_t done) { return done < 20; });
  return 0;
}
