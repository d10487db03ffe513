#include "src/main/commands/config.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"
#include "src/config/print.h"
#include "src/validate/validate.h"

namespace finetune {

std::vector<std::string> ConfigCommand::examples() const {
  return {"finetune config --config=resnet50_cifar.pbtxt --origins=false > without_imports.pbtxt",
          "finetune config --config=resnet50_cifar.pbtxt --check --ranks=64"};
}

void ConfigCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->TrueOrFalse("--origins", "Say where each value was set (default true)", &origins_);
  flags->Switch("--check",
                "Instead of printing, do all that a run does before its first iteration: open the "
                "data, make the model, fetch and read the first weights, measure the memory",
                &check_);
  flags->WholeNumber("--ranks", "The run's number of ranks, for --check (default 1)", 1, 1 << 20,
                     &job_.ranks);
  flags->WholeNumber("--ranks_per_host", "For --check: the most ranks on a host (default 8)", 1,
                     1 << 20, &job_.ranks_per_host);
  flags->ByteSize("--host_memory",
                  "For --check: memory of the job's hosts, as 64GiB (default: this host's limit)",
                  &job_.host_memory);
  flags->ByteSize("--gpu_memory", "For --check: memory of the job's GPUs, as 80GiB",
                  &job_.gpu_memory);
}

absl::Status ConfigCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  if (check_) return absl::OkStatus();
  const std::vector<std::pair<const char*, int64_t>> of_checks = {
      {"--ranks", job_.ranks},
      {"--ranks_per_host", job_.ranks_per_host},
      {"--host_memory", job_.host_memory},
      {"--gpu_memory", job_.gpu_memory}};
  for (const auto& [flag, value] : of_checks) {
    if (value == 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(flag, " is for a check: give --check too"));
  }
  return absl::OkStatus();
}

absl::Status ConfigCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  if (check_) {
    FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.LoadExpanded());
    CheckedJob job = job_;
    if (job.ranks == 0) job.ranks = 1;
    if (job.ranks_per_host == 0) job.ranks_per_host = CheckedJob().ranks_per_host;
    absl::StatusOr<std::string> checked = CheckRun(loaded, job);
    if (!checked.ok()) return loaded.WithPlace(checked.status());
    *output = *std::move(checked);
    return absl::OkStatus();
  }
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.Load());
  *output = PrintConfig(loaded, origins_);
  // The data and the number of ranks are not known here. Checks that need them are made only at the
  // start of a run.
  return ValidateConfig(loaded, RunFacts()).status();
}

}  // namespace finetune
