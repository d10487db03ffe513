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

// The version of the format of the .jsonl files. The first line of a file, the RunRecord, has it as
// "format_version"; programs before 0.1.0 did not write this field. A change that older programs
// would misread needs a new number.
inline constexpr int64_t kRecordFormatVersion = 1;

// The start of a run, or of its continuation from a checkpoint.
struct RunRecord {
  std::string writer;  // "finetune 0.1.0"; empty before 0.1.0
  std::string name;
  std::string host;  // rank 0's host
  int64_t ranks = 1;
  int64_t iteration = 0;  // the number of iterations done before this start
  double began_unix_s = 0;
  std::vector<std::string> class_names;  // by label
};

// The state of training after one iteration. Loss and times are means over the iterations since the
// last record.
struct IterationRecord {
  int64_t epoch = 0;      // from 1
  int64_t iteration = 0;  // the number of iterations done in the run
  int64_t iterations_per_epoch = 1;
  int64_t total_iterations = 0;
  int64_t averaged = 1;  // the number of iterations that the means are over
  double loss = 0;
  double lr = 0;
  double time_s = 0;       // seconds per iteration
  double data_time_s = 0;  // the part of time_s that rank 0 waited for data
  double eta_s = 0;
  double images_per_s = 0;
  int64_t memory_mib = 0;  // peak memory of rank 0: its GPU's, or without a GPU the process's
  std::optional<double> gradient_norm;
};

// The result of one validation.
struct EvaluationRecord {
  int64_t epoch = 0;  // from 1: the epoch of the last iteration before the validation
  int64_t iteration = 0;
  int64_t iterations_per_epoch = 1;
  double loss = 0;
  std::map<std::string, double> accuracy;  // 0 to 1, by name such as "top1"
  double seconds = 0;
  int64_t images = 0;
  // The number of damaged images of the split, which are not in `images` and in no figure.
  int64_t damaged = 0;
  // Whether the validation used the averaged weights of optimizer.ema.
  bool averaged_weights = false;
  std::vector<ClassResult> classes;  // by label
  // Whether ClassResult::guessed is known. It is not in records of more than kMostGuessedClasses
  // classes and in records of programs before 0.1.0.
  bool has_guessed = false;
  // The confusion matrix [classes, classes], as ConfusionMatrix() returns it. Empty if it was not
  // recorded.
  std::vector<int64_t> confusion;
};

// The end of a run before its time, because its config says so.
struct EndRecord {
  int64_t iteration = 0;
  std::string reason;  // a sentence for people, without a full stop
};

// A record has ClassResult::guessed only if there are at most this many classes.
inline constexpr size_t kMostGuessedClasses = 1000;

// Returns a record as one line of JSON, without the line feed. Numbers that are NaN or infinite
// become null. For a RunRecord the writer is this program, whatever `writer` is.
std::string ToJson(const RunRecord& record);
std::string ToJson(const IterationRecord& record);
std::string ToJson(const EvaluationRecord& record);
std::string ToJson(const EndRecord& record);

// The records of a run, in the order of iterations.
struct History {
  std::vector<RunRecord> runs;
  std::vector<IterationRecord> iterations;
  std::vector<EvaluationRecord> evaluations;
  std::vector<EndRecord> ends;
};

// Adds the records of one .jsonl file to `history`. Files must be added in the order in which they
// were written. If the run was resumed from an older checkpoint, records in `history` of the
// iterations that the new file repeats, and of later ones, are removed first. A line that is not a
// record, such as one that a crash cut short, is skipped. Errors: InvalidArgument, with both
// versions, if a newer version of this program wrote the file; then `history` is unchanged.
absl::Status AddRecords(absl::string_view json_lines, History* history);

// Returns the records of the run in `work_dir`, including all resumed parts. Reads the files
// *.jsonl in the order of their names, which is that of their times. Errors: those of reading and
// of AddRecords(), with the file's name.
absl::StatusOr<History> ReadHistory(const std::string& work_dir);

}  // namespace finetune

#endif  // FINETUNE_OBSERVE_RECORD_H_
