#ifndef FINETUNE_VALIDATE_VALIDATE_H_
#define FINETUNE_VALIDATE_VALIDATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/config/config.h"
#include "src/data/manifest.h"

namespace finetune {

// The facts in a data set's manifest that the config must agree with.
struct DataFacts {
  int64_t images = 0;
  int channels = 0;
  int height = 0;
  int width = 0;
};

// Returns the facts of a split with this number of images.
DataFacts FactsOf(const DatasetManifest& manifest, int64_t images);

// The classes that the model is trained on.
struct ClassFacts {
  int count = 0;
  // The source of the number: "the data in data/pets", "work_dirs/pets/best.pth".
  std::string from;
};

// The facts about the run that are not in its config. Unset: unknown, so checks that need them are
// left out.
struct RunFacts {
  int world_size = 1;
  std::optional<DataFacts> train;
  std::optional<DataFacts> val;
  std::optional<ClassFacts> classes;
};

// Checks the config as far as possible before any work is done. Returns warnings about settings
// that work but are likely mistakes. Errors: InvalidArgument with one line for each mistake:
// "place: field: what is wrong; what to do".
absl::StatusOr<std::vector<std::string>> ValidateConfig(const LoadedConfig& loaded,
                                                        const RunFacts& facts);

// Returns the errors of a config whose text has errors too, as LoadOptions::find_value_errors. They
// are only those values that are written and are wrong whatever the other fields are: a field that
// is missing, or contradicts another one, may do so only because of an error in the text.
std::vector<std::string> FindWrongValues(const LoadedConfig& loaded);

}  // namespace finetune

#endif  // FINETUNE_VALIDATE_VALIDATE_H_
