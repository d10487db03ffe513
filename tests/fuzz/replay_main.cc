// Runs a fuzz target once on each file of some folders, without libFuzzer. The exit code is 1 if a
// file cannot be read or a folder has no files.
//
//   TARGET FOLDER ...
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>

#include "src/base/atomic_file.h"
#include "tests/fuzz/input.h"

// The targets' mutators call this function of libFuzzer. A replay mutates nothing.
extern "C" size_t LLVMFuzzerMutate(uint8_t*, size_t size, size_t) { return size; }

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    int inputs = 0;
    for (const auto& entry : std::filesystem::directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      const auto bytes = finetune::ReadFile(entry.path().string());
      if (!bytes.ok()) {
        std::fprintf(stderr, "%s\n", std::string(bytes.status().message()).c_str());
        return 1;
      }
      LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes->data()), bytes->size());
      ++inputs;
    }
    std::printf("%d inputs of %s\n", inputs, argv[i]);
    if (inputs == 0) return 1;
  }
  return argc > 1 ? 0 : 1;
}
