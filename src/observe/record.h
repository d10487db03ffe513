#ifndef FINETUNE_OBSERVE_RECORD_H_
#define FINETUNE_OBSERVE_RECORD_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/metrics/by_class.h"

namespace finetune {

// The version of the records' format. A run's own record, the first line of its file, has it as
// "format_version"; before 0.1.0 there was no such field. It is raised when an older finetune would
// misread the records.
inline constexpr int64_t kRecordFormatVersion = 1;

// The start of a run, or its continuation from a checkpoint.
struct RunRecord {
  std::string writer;  // "finetune 0.1.0"; empty before 0.1.0
  std::string name;
  std::string host;  // the host of rank 0
  int64_t ranks = 1;
  int64_t iteration = 0;  // the iterations done before this start
  double began_unix_s = 0;
  std::vector<std::string> class_names;  // in the order of labels
};

// The state of training after one iteration. Times and loss are means over the iterations since the
// last record.
struct IterationRecord {
  int64_t epoch = 0;      // from 1
  int64_t iteration = 0;  // iterations done since the start of the run
  int64_t iterations_per_epoch = 1;
  int64_t total_iterations = 0;
  int64_t averaged = 1;  // the number of iterations since the last record
  double loss = 0;
  double lr = 0;
  double time_s = 0;       // seconds per iteration
  double data_time_s = 0;  // the part of time_s spent waiting for data
  double eta_s = 0;
  double images_per_s = 0;
  int64_t memory_mib = 0;  // peak memory of the GPU, or on the CPU of the process
  std::optional<double> gradient_norm;
};

// One validation.
struct EvaluationRecord {
  int64_t epoch = 0;  // the epoch, from 1, of the iteration before the validation
  int64_t iteration = 0;
  int64_t iterations_per_epoch = 1;
  double loss = 0;
  std::map<std::string, double> accuracy;  // "top1": 0..1
  double seconds = 0;
  int64_t images = 0;
  // The weights were the average that optimizer.ema keeps.
  bool averaged_weights = false;
  std::vector<ClassResult> classes;  // in the order of labels
  // Whether `classes` has the number of images that were taken for each class. Records with more
  // than kMostGuessedClasses classes, and records of a finetune before 0.1.0, do not have it.
  bool has_guessed = false;
  // [classes, classes], as ConfusionMatrix() returns it. Empty: not recorded.
  std::vector<int64_t> confusion;
};

// The most classes for which a record holds ClassResult::guessed.
inline constexpr size_t kMostGuessedClasses = 1000;

// Returns a record as one line of JSON, without a line end. A loss that is NaN or infinite is null.
// A RunRecord gets this program as its writer.
std::string ToJson(const RunRecord& record);
std::string ToJson(const IterationRecord& record);
std::string ToJson(const EvaluationRecord& record);

// The records of a run.
struct History {
  std::vector<RunRecord> runs;
  std::vector<IterationRecord> iterations;
  std::vector<EvaluationRecord> evaluations;
};

// Adds the records of one file of JSON lines, which must be from a later part of the run than those
// in `history`. Where a run was resumed from an older checkpoint, the new records replace those of
// the same iterations. A line that is not a record, such as one that a crash cut short, is skipped.
// Errors: InvalidArgument, with both versions, where a newer finetune wrote the records; then
// `history` is unchanged.
absl::Status AddRecords(absl::string_view json_lines, History* history);

// Returns the records of the run in `work_dir`, including all resumed parts: reads its *.jsonl
// files in the order of their names. Errors name the file that cannot be read, or that a newer
// finetune wrote.
absl::StatusOr<History> ReadHistory(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RECORD_H_
