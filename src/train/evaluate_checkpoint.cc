#include "src/train/evaluate_checkpoint.h"

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>

#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/checkpoint/reader.h"
#include "src/comm/agreement.h"
#include "src/observe/progress_line.h"
#include "src/train/data_identity.h"
#include "src/train/setup.h"

namespace finetune {
namespace {

absl::Status TakeWeights(const EvaluateOptions& options, Setup* setup) {
  FT_ASSIGN_OR_RETURN(const StateDict state, ReadStateDict(options.checkpoint, options.key));
  const absl::StatusOr<LoadReport> report =
      LoadClassifier(state, options.weights, setup->model.get());
  FT_RETURN_IF_ERROR(Annotate(report.status(), options.checkpoint));
  AddNotes(options.checkpoint, state, *report, setup);
  return absl::OkStatus();
}

// On stderr: what the evaluation's user must know to believe its numbers.
void Tell(const Setup& setup, const Communicator& comm) {
  if (comm.local_rank() == 0) {
    for (const std::string& warning : setup.host_warnings) {
      std::fprintf(stderr, "warning %s: %s\n", comm.host(comm.rank()).c_str(), warning.c_str());
    }
  }
  if (comm.rank() != 0) return;
  for (const std::string& note : setup.notes) std::fprintf(stderr, "info    %s\n", note.c_str());
  for (const std::string& warning : setup.warnings) {
    std::fprintf(stderr, "warning %s\n", warning.c_str());
  }
}

}  // namespace

absl::StatusOr<Evaluation> EvaluateCheckpoint(const LoadedConfig& loaded,
                                              const EvaluateOptions& options, Communicator* comm) {
  absl::StatusOr<DataIdentity> trained_on = ReadDataIdentityOf(options.checkpoint);
  FT_RETURN_IF_ERROR(Agree(trained_on.status(), *comm));
  const EvaluatedCheckpoint evaluated{options.checkpoint, *std::move(trained_on)};
  FT_ASSIGN_OR_RETURN(Setup setup,
                      Prepare(loaded, &evaluated, /*resumes=*/false, /*trace=*/nullptr, comm));
  if (setup.val == nullptr) {
    return absl::InvalidArgumentError("data.val: is not set; there is nothing to evaluate on");
  }
  FT_RETURN_IF_ERROR(Agree(TakeWeights(options, &setup), *comm));
  Tell(setup, *comm);
  ProgressLine line(stdout, comm->rank() == 0 && IsWatched());
  absl::StatusOr<Evaluation> evaluation =
      Evaluate(loaded.config.model().head(), setup.device, setup.model.get(), setup.val.get(), comm,
               [&](int64_t done, int64_t total) {
                 line.Draw(absl::StrFormat("evaluating [%d/%d]", done, total));
                 return true;
               });
  line.Clear();
  FT_RETURN_IF_ERROR(evaluation.status());
  if (!std::isfinite(evaluation->loss)) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "%s: the loss of its %d pictures of data.val is %g; expected a finite number. Its weights "
        "are not those of a run that went well: take an earlier checkpoint",
        options.checkpoint, evaluation->pictures, std::abs(evaluation->loss)));
  }
  return evaluation;
}

}  // namespace finetune
