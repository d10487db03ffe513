#ifndef FINETUNE_TUNE_LR_OUTPUT_H_
#define FINETUNE_TUNE_LR_OUTPUT_H_

#include <cstdint>
#include <optional>
#include <string>

#include "src/base/status_macros.h"
#include "src/tune/lr_curve.h"

namespace finetune {

// A finished range test, as `finetune lr` prints and writes it.
struct LrResult {
  explicit LrResult(const LrTestOptions& options) : curve(options) {}

  LrCurve curve;
  std::optional<LrSuggestion> suggestion;
  std::string config;       // the config's path
  std::string field;        // the config's field for the rate: "optimizer.sgd.lr"
  double field_factor = 1;  // a run trains with the field's value times this (auto_scale_lr)
  int64_t total_batch = 0;  // images in an iteration
  int ranks = 1;
};

// Returns "--set=optimizer.sgd.lr=0.01", with which a run trains at about the rate `lr`. The value
// has two digits.
std::string SetLearningRate(const LrResult& result, double lr);

// Returns the text that the command prints: a table of some points, why the test ended, and the
// suggestion.
std::string ToTable(const LrResult& result);

// The files that the command writes: all points, as CSV, JSON or an SVG image.
enum class LrFormat { kCsv, kJson, kSvg };
// Returns the format by the ending of a file's name. Errors: InvalidArgument for another ending.
absl::StatusOr<LrFormat> FormatOf(const std::string& path);
// Returns the content of a file.
std::string ToFile(const LrResult& result, LrFormat format);

}  // namespace finetune

#endif  // FINETUNE_TUNE_LR_OUTPUT_H_
