#include "src/plan/check.h"

#include <unistd.h>

#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/config/field_error.h"
#include "src/plan/rank_memory.h"
#include "src/plan/training_data.h"
#include "src/train/preflight.h"

namespace finetune {
namespace {

constexpr double kMebibyte = 1 << 20;

double HostMemoryBytes() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

}  // namespace

absl::Status CheckFits(const LoadedConfig& loaded, double needed, double there, int64_t pass) {
  if (needed <= there) return absl::OkStatus();
  const SplitConfig& train = loaded.config.data().train();
  const char* const field = train.micro_batch_size() > 0 ? "data.train.micro_batch_size"
                            : train.has_batch_size()     ? "data.train.batch_size"
                                                         : "data.train.total_batch_size";
  return FieldError(
      field, absl::StrFormat("a rank with passes of %d images needs %.0f MiB, and this host has "
                             "%.0f MiB; set data.train.micro_batch_size to fewer images than %d",
                             pass, needed / kMebibyte, there / kMebibyte, pass));
}

absl::StatusOr<std::string> CheckRun(const LoadedConfig& loaded, int ranks) {
  FT_ASSIGN_OR_RETURN(const Preflight preflight, CheckStart(loaded, ranks));
  std::string text;
  for (const std::string& note : preflight.notes) absl::StrAppend(&text, note, "\n");
  for (const std::string& warning : preflight.warnings) {
    absl::StrAppend(&text, "warning: ", warning, "\n");
  }
  if (loaded.config.runtime().device() == RuntimeConfig::CUDA) {
    return absl::StrCat(text, "the memory of a GPU is not checked\n", loaded.file, ": is fine\n");
  }
  FT_ASSIGN_OR_RETURN(const TrainingData data, FindTrainingData(loaded, /*images=*/0));
  FT_ASSIGN_OR_RETURN(const RankMemory memory, PredictRankMemory(loaded.config, data.shape, ranks));
  const double there = HostMemoryBytes();
  FT_RETURN_IF_ERROR(CheckFits(loaded, memory.bytes, there, memory.pass));
  absl::StrAppendFormat(&text,
                        "a rank needs %.0f MiB with passes of %d images; this host has %.0f MiB, "
                        "enough for %d\n%s: is fine\n",
                        memory.bytes / kMebibyte, memory.pass, there / kMebibyte,
                        static_cast<int>(there / memory.bytes), loaded.file);
  return text;
}

}  // namespace finetune
