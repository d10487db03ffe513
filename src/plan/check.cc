#include "src/plan/check.h"

#include <cstdint>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/config/field_error.h"
#include "src/plan/rank_memory.h"
#include "src/plan/training_data.h"
#include "src/train/preflight.h"

namespace finetune {
namespace {

constexpr double kMebibyte = 1 << 20;

// Returns an error about the field that sets the size of a rank's passes. `misfit`: the sentence
// that says what does not fit. `also`: further advice.
absl::Status TooLarge(const LoadedConfig& loaded, const std::string& misfit, int64_t pass,
                      const std::string& also) {
  const SplitConfig& train = loaded.config.data().train();
  const char* const field = train.micro_batch_size() > 0 ? "data.train.micro_batch_size"
                            : train.has_batch_size()     ? "data.train.batch_size"
                                                         : "data.train.total_batch_size";
  std::string advice;
  if (pass > 1) {
    advice = absl::StrFormat("set data.train.micro_batch_size to fewer images than %d", pass);
  }
  if (!also.empty()) absl::StrAppend(&advice, advice.empty() ? "" : ", or ", also);
  return FieldError(field, absl::StrCat(misfit, "; ", advice));
}

absl::Status CheckFlags(const LoadedConfig& loaded, const CheckedJob& job) {
  const RuntimeConfig::Device device = loaded.config.runtime().device();
  if (job.gpu_memory > 0 && device == RuntimeConfig::CPU) {
    return absl::InvalidArgumentError(
        "--gpu_memory: found runtime.device: CPU; leave it out, or set runtime.device: CUDA");
  }
  if (job.host_memory > 0 && (job.gpu_memory > 0 || device == RuntimeConfig::CUDA)) {
    return absl::InvalidArgumentError(
        "--host_memory: found a run on GPUs, whose memory --gpu_memory states; leave it out");
  }
  return absl::OkStatus();
}

// Checks a rank against the memory of its GPU and returns the text to print.
absl::StatusOr<std::string> CheckGpu(const LoadedConfig& loaded, const RankMemory& memory,
                                     int64_t gpu_memory) {
  const double has = static_cast<double>(gpu_memory);
  const std::string need = absl::StrFormat(
      "a rank with passes of %d images needs about %.0f MiB, as measured on the CPU", memory.pass,
      memory.bytes / kMebibyte);
  if (memory.bytes > has) {
    return TooLarge(
        loaded,
        absl::StrFormat("%s, and a GPU by --gpu_memory has %.0f MiB", need, has / kMebibyte),
        memory.pass, "");
  }
  return absl::StrFormat(
      "%s, without the workspaces of cuDNN; a GPU by --gpu_memory has %.0f MiB\n", need,
      has / kMebibyte);
}

}  // namespace

absl::Status CheckFits(const LoadedConfig& loaded, const HostNeed& need, const MemoryLimit& limit) {
  const std::string misfit = DescribeMisfit(need, limit);
  if (misfit.empty()) return absl::OkStatus();
  const int fit = RanksThatFit(need.rank_bytes, limit);
  return TooLarge(
      loaded, misfit, need.pass,
      absl::StrCat(fit > 0 ? absl::StrCat("start at most ", fit,
                                          " on a host (--ranks_per_host=", fit, "), or ")
                           : "",
                   "say what the job's hosts have by --host_memory"));
}

absl::StatusOr<std::string> CheckRun(const LoadedConfig& loaded, const CheckedJob& job) {
  FT_RETURN_IF_ERROR(CheckFlags(loaded, job));
  FT_ASSIGN_OR_RETURN(const Preflight preflight, CheckStart(loaded, job.ranks));
  std::string text;
  for (const std::string& note : preflight.notes) absl::StrAppend(&text, note, "\n");
  for (const std::string& warning : preflight.warnings) {
    absl::StrAppend(&text, "warning: ", warning, "\n");
  }
  const std::string fine = absl::StrCat(loaded.file, ": is fine\n");
  const bool on_gpu = job.gpu_memory > 0 || loaded.config.runtime().device() == RuntimeConfig::CUDA;
  if (on_gpu && job.gpu_memory == 0) {
    return absl::StrCat(text,
                        "the memory of a GPU is not checked: say how much it has by "
                        "--gpu_memory=SIZE\n",
                        fine);
  }
  // Read before the measurement, which takes memory itself.
  const std::optional<MemoryLimit> limit = SmallestLimit(job.host_memory);
  FT_ASSIGN_OR_RETURN(const TrainingData data, FindTrainingData(loaded, /*images=*/0));
  FT_ASSIGN_OR_RETURN(const RankMemory memory,
                      PredictRankMemory(loaded.config, data.shape, job.ranks));
  if (on_gpu) {
    FT_ASSIGN_OR_RETURN(const std::string checked, CheckGpu(loaded, memory, job.gpu_memory));
    return absl::StrCat(text, checked, fine);
  }
  const HostNeed need{RanksOnHost(job.ranks, job.ranks_per_host), memory.bytes, memory.pass};
  absl::StrAppendFormat(&text, "a rank needs %.0f MiB with passes of %d images",
                        memory.bytes / kMebibyte, memory.pass);
  if (!limit.has_value()) {
    return absl::StrCat(text, "; this host does not say how much memory it has\n", fine);
  }
  FT_RETURN_IF_ERROR(CheckFits(loaded, need, *limit));
  absl::StrAppendFormat(&text, ", %d on a host %.0f MiB; %s has %.0f MiB, enough for %d\n",
                        need.ranks, need.bytes() / kMebibyte, limit->name,
                        static_cast<double>(limit->total_bytes) / kMebibyte,
                        RanksThatFit(memory.bytes, *limit));
  if (need.bytes() > static_cast<double>(limit->free_bytes)) {
    absl::StrAppendFormat(&text,
                          "warning: other processes leave %.0f MiB of it free now, too little for "
                          "a run beside them\n",
                          static_cast<double>(limit->free_bytes) / kMebibyte);
  }
  return absl::StrCat(text, fine);
}

}  // namespace finetune
