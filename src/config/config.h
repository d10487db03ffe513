#ifndef FINETUNE_CONFIG_CONFIG_H_
#define FINETUNE_CONFIG_CONFIG_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/experiment.pb.h"

namespace finetune {

// Where a value was written.
struct Place {
  std::string file;  // as it was found, or "--set=..." as it was given
  int line = 0;      // from 1; 0 for --set
  int column = 0;    // from 1
  // The files that led to `file`, from the one the user named: empty for that one.
  std::vector<std::string> imported_by;

  // "configs/a.pbtxt:3:7", or the --set.
  std::string ToString() const;
};

// One effective config and where each of its values came from.
struct LoadedConfig {
  // Merged; import and reset are empty, name is set.
  ExperimentConfig config;
  // By path, "optimizer.sgd.lr" or "data.train.pipeline[0].random_crop.size"; messages and lists
  // have one too, also a list that was written as empty ("topk: []").
  std::map<std::string, Place> origins;
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

// The config as text format. With origins, each value carries its place as a comment. Either way it
// is itself a config without imports that loads to the same values.
std::string PrintConfig(const LoadedConfig& loaded, bool with_origins);

// Folders to seek configs in: `from_flags`, then FINETUNE_CONFIG_PATH (colon-separated), then the
// configs folder that belongs to the running program: installed (PREFIX/share/finetune/configs) or
// in the source tree it was built from.
std::vector<std::string> ConfigSearchPath(const std::vector<std::string>& from_flags);

// Equal for equal configs, on every machine and build.
uint64_t ConfigHash(const ExperimentConfig& config);

// The text of each value that is set, by its path; a list is one value.
std::map<std::string, std::string> ConfigValues(const ExperimentConfig& config);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_CONFIG_H_
