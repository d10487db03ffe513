#ifndef FINETUNE_VALIDATE_VALIDATE_H_
#define FINETUNE_VALIDATE_VALIDATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/config/config.h"

namespace finetune {

// What the data's manifest says, as far as a config must agree with it.
struct DataFacts {
  int64_t pictures = 0;
  int channels = 0;
  int height = 0;
  int width = 0;
};

// The classes that the model tells apart.
struct ClassFacts {
  int count = 0;
  // Who says so: "the data in data/pets", "work_dirs/pets/best.pth".
  std::string from;
};

// What is known of the run besides its config.
struct RunFacts {
  int world_size = 1;
  std::optional<DataFacts> train;
  std::optional<DataFacts> val;
  std::optional<ClassFacts> classes;
};

// Checks everything that can be known before any work is done. Returns warnings: what will run but
// is likely not meant. Errors: InvalidArgument with one line for each thing wrong, "place: field:
// what is wrong; what to do".
absl::StatusOr<std::vector<std::string>> ValidateConfig(const LoadedConfig& loaded,
                                                        const RunFacts& facts);

}  // namespace finetune

#endif  // FINETUNE_VALIDATE_VALIDATE_H_
