#ifndef FINETUNE_PREDICT_ROWS_H_
#define FINETUNE_PREDICT_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// The answer for one image: its most likely classes, or an error.
struct PredictionRow {
  std::string path;
  struct Guess {
    std::string name;       // the class's name, or its number if it has no name
    int64_t label = 0;      // the number of the class
    float probability = 0;  // 0 to 1
  };
  std::vector<Guess> guesses;  // most likely first
  std::string error;           // empty if there is none
};

// The formats in which rows can be written. Probabilities have nine significant digits in JSON and
// CSV, which are enough to distinguish any two float32 values.
enum class RowFormat {
  // {"path": ..., "guesses": [{"class": ..., "label": ..., "probability": ...}, ...]}, or "error"
  kJsonLines,
  kCsv,    // path,error,class1,probability1,class2,...; RFC 4180
  kTable,  // a table for people to read
};

// Returns the format for the name "jsonl", "csv" or "table". Errors: InvalidArgument, which lists
// these names.
absl::StatusOr<RowFormat> ParseRowFormat(const std::string& name);

// Returns the line that comes before all rows. Empty for other formats than CSV. `guesses`: the
// number of guesses of a row.
std::string HeaderLine(RowFormat format, int64_t guesses);

// Returns a row as one line with its line feed. `guesses`: as for HeaderLine(); in CSV, missing
// guesses are empty fields.
std::string ToLine(const PredictionRow& row, RowFormat format, int64_t guesses);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_ROWS_H_
