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

// The number of the records' format, "format_version" in a run's own record, the first line of its
// file. It rises where readers of before would misread the records. Before 0.1.0 there was no such
// field.
inline constexpr int64_t kRecordFormatVersion = 1;

// The beginning of a run, or of its going on from a checkpoint.
struct RunRecord {
  std::string writer;  // "finetune 0.1.0"; empty before 0.1.0
  std::string name;
  std::string host;  // the host of rank 0
  int64_t ranks = 1;
  int64_t iteration = 0;  // the iterations done before it began
  double began_unix_s = 0;
  std::vector<std::string> class_names;  // in the order of labels
};

// The state of training at one iteration. Times and loss are means since the last record.
struct IterationRecord {
  int64_t epoch = 0;      // from 1
  int64_t iteration = 0;  // iterations done since the start of the run
  int64_t iterations_per_epoch = 1;
  int64_t total_iterations = 0;
  int64_t averaged = 1;  // the iterations since the last record
  double loss = 0;
  double lr = 0;
  double time_s = 0;       // of an iteration
  double data_time_s = 0;  // the part of it spent waiting for data
  double eta_s = 0;
  double images_per_s = 0;
  int64_t memory_mib = 0;  // the peak: a GPU's, or on the CPU the process's
  std::optional<double> gradient_norm;
};

// One validation.
struct EvaluationRecord {
  int64_t epoch = 0;  // from 1: that of the iteration before the validation
  int64_t iteration = 0;
  int64_t iterations_per_epoch = 1;
  double loss = 0;
  std::map<std::string, double> accuracy;  // "top1": 0..1
  double seconds = 0;
  int64_t pictures = 0;
  std::vector<ClassResult> classes;  // in the order of labels
  // Whether `classes` say how many pictures were taken for each: a record of many classes, or of a
  // finetune before 0.1.0, does not.
  bool has_guessed = false;
  // As ConfusionMatrix(). Empty: not recorded.
  std::vector<int64_t> confusion;
};

// The most classes whose `guessed` a record holds.
inline constexpr size_t kMostGuessedClasses = 1000;

// A record as one line of JSON, without the line's end. A loss that is no number is null. A run's
// gets this program as its writer.
std::string ToJson(const RunRecord& record);
std::string ToJson(const IterationRecord& record);
std::string ToJson(const EvaluationRecord& record);

// The records of a run.
struct History {
  std::vector<RunRecord> runs;
  std::vector<IterationRecord> iterations;
  std::vector<EvaluationRecord> evaluations;
};

// Adds the records of one file of JSON lines, the later ones of a run. Where they begin before what
// is there ends (a run resumed from an older checkpoint), they replace it. A line that is not a
// record (one that a crash cut short) is passed over. Errors: InvalidArgument, with both versions,
// where a newer finetune wrote them; `history` is then as it was.
absl::Status AddRecords(absl::string_view json_lines, History* history);

// The history of the run in `work_dir`, through all of its resumes: its *.jsonl by name. Errors
// name the file that cannot be read, or that a newer finetune wrote.
absl::StatusOr<History> ReadHistory(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RECORD_H_
