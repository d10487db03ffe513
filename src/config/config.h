#ifndef FINETUNE_CONFIG_CONFIG_H_
#define FINETUNE_CONFIG_CONFIG_H_

#include <functional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"
#include "src/config/origins.h"

namespace finetune {

// A config after all imports and overrides, and the place of each of its values.
struct LoadedConfig {
  // The merged config: `import` and `reset` are empty, and `name` is set.
  ExperimentConfig config;
  Origins origins;
  // The path of the file that the user named.
  std::string file;

  // Returns the place of the value at `path`. If it was not written, returns the place of the
  // nearest enclosing message or list that was; if there is none, the file's path.
  std::string PlaceOf(const std::string& path) const;

  // Returns an error about a field (see FieldError()) with "<place of the field>: " before its
  // message. Returns any other status unchanged.
  absl::Status WithPlace(const absl::Status& status) const;
};

// Returns errors in the values of a config, one line for each: "file:line:column: field: what is
// wrong; what to do". The config's text has errors too, so fields may be missing that the user has
// written.
using FindValueErrors = std::function<std::vector<std::string>(const LoadedConfig&)>;

struct LoadOptions {
  // The folders to search for configs, after the working folder (for the named file) or the
  // importing file's folder (for imports).
  std::vector<std::string> search_path;
  // Texts such as "optimizer.sgd.lr=0.02". They are applied after all files, in the order given.
  std::vector<std::string> overrides;
  // Called for a config whose text or overrides have errors, so that wrong values are reported
  // together with these. Not called if a file's brackets or quotes are wrong. May be null.
  FindValueErrors find_value_errors = nullptr;
};

// Loads a config with its imports and overrides. README.md describes the language. Errors: NotFound
// with the places tried, for a file that is in none of the folders; InvalidArgument with one line
// for each mistake: "file:line:column: field: what is wrong; what to do".
absl::StatusOr<LoadedConfig> LoadConfig(const std::string& file, const LoadOptions& options);

// Loads a config from a text without imports, such as the text in a checkpoint. `name` takes the
// place of the file's path in errors and origins. No file is read. `overrides` and
// `find_value_errors`: as in LoadOptions. Errors: those of LoadConfig(); InvalidArgument for a text
// with imports.
absl::StatusOr<LoadedConfig> LoadConfigText(const std::string& text, const std::string& name,
                                            const std::vector<std::string>& overrides,
                                            const FindValueErrors& find_value_errors = nullptr);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_CONFIG_H_
