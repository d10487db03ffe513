#ifndef FINETUNE_PREDICT_ROWS_H_
#define FINETUNE_PREDICT_ROWS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"

namespace finetune {

// The answer for one image: its most likely classes, or why there is none.
struct PredictionRow {
  std::string path;
  struct Guess {
    std::string name;       // of the class; its number where the checkpoint does not name it
    int64_t label = 0;      // the model's output
    float probability = 0;  // 0..1
  };
  std::vector<Guess> guesses;  // the most likely first
  std::string error;           // empty: none
};

// How rows are written. Nine digits of a probability tell every two float32 apart.
enum class RowFormat {
  // {"path": ..., "guesses": [{"class": ..., "label": ..., "probability": ...}, ...]}, or "error"
  kJsonLines,
  kCsv,    // path,error,class1,probability1,class2,...; RFC 4180
  kTable,  // for people
};

// "jsonl", "csv" or "table". Errors: InvalidArgument with the names that there are.
absl::StatusOr<RowFormat> ParseRowFormat(const std::string& name);

// The line before all rows; empty but for CSV. `guesses`: of each row.
std::string HeaderLine(RowFormat format, int64_t guesses);

// One row with the line's end. `guesses`: as the header says; rows with errors have fewer.
std::string ToLine(const PredictionRow& row, RowFormat format, int64_t guesses);

}  // namespace finetune

#endif  // FINETUNE_PREDICT_ROWS_H_
