#ifndef FINETUNE_CONFIG_CONFIG_H_
#define FINETUNE_CONFIG_CONFIG_H_

#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/config/origins.h"

namespace finetune {

// One effective config and where each of its values came from.
struct LoadedConfig {
  // Merged; import and reset are empty, name is set.
  ExperimentConfig config;
  Origins origins;
  // The file the user named, as it was found.
  std::string file;

  // The place of `path`, or of the nearest message above it that was written anywhere; the file
  // itself if none was.
  std::string PlaceOf(const std::string& path) const;

  // Returns an error that is about a field (see FieldError()) with "<place of the field>: " before
  // its message; any other status as it is.
  absl::Status WithPlace(const absl::Status& status) const;
};

struct LoadOptions {
  // Folders to seek configs in, after the working folder (for the named file) or the importing
  // file's (for imports).
  std::vector<std::string> search_path;
  // "optimizer.sgd.lr=0.02": applied last, in order.
  std::vector<std::string> overrides;
};

// Reads a config, its imports and its overrides. See README.md for the language.
// Errors: NotFound for a file that is nowhere on the path, with the places tried; InvalidArgument
// with one line for each thing wrong: "file:line:column: field: what is wrong; what to do".
absl::StatusOr<LoadedConfig> LoadConfig(const std::string& file, const LoadOptions& options);

// Reads a config from its text, as a checkpoint carries it: one without imports. `name` stands for
// the file in errors and origins. No file is read. `overrides`: as LoadOptions has them. Errors:
// those of LoadConfig; InvalidArgument for a text that imports.
absl::StatusOr<LoadedConfig> LoadConfigText(const std::string& text, const std::string& name,
                                            const std::vector<std::string>& overrides);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_CONFIG_H_
