#include "src/train/evaluate_command.h"

#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/output_file.h"
#include "src/comm/agreement.h"
#include "src/config/origins.h"
#include "src/metrics/accuracy.h"
#include "src/metrics/mcnemar.h"
#include "src/metrics/summary.h"
#include "src/observe/score_file.h"
#include "src/train/checkpoint_config.h"
#include "src/train/evaluate.h"

namespace finetune {
namespace {

// Checks on rank 0 that the output files may be written.
absl::Status CheckFiles(const LoadedConfig& loaded, const EvaluateFlags& flags,
                        const Communicator& comm) {
  const std::string& scores = flags.evaluate.scores;
  if (!scores.empty()) FT_RETURN_IF_ERROR(Annotate(ScoreFile::CheckName(scores), "--scores"));
  if (comm.rank() != 0) return absl::OkStatus();
  return CheckOutputs({{"--scores", scores}, {"--output", flags.output}}, flags.force,
                      {loaded.file, flags.evaluate.checkpoint, flags.compare});
}

// Returns the config for evaluating the --compare checkpoint: the same images, with the network and
// pipeline of the checkpoint's own config where it carries one.
absl::StatusOr<LoadedConfig> ConfigOfOther(const LoadedConfig& loaded,
                                           const std::string& checkpoint) {
  LoadedConfig config = loaded;
  FT_ASSIGN_OR_RETURN(const std::optional<LoadedConfig> own,
                      FindCheckpointConfig(checkpoint, /*overrides=*/{}));
  if (!own.has_value()) return config;
  *config.config.mutable_model() = own->config.model();
  EraseOrigins("model", &config.origins);
  CopyOrigins("model", own->origins, &config.origins);
  if (own->config.data().has_val()) {
    *config.config.mutable_data()->mutable_val()->mutable_pipeline() =
        own->config.data().val().pipeline();
    EraseOrigins("data.val.pipeline", &config.origins);
    CopyOrigins("data.val.pipeline", own->origins, &config.origins);
  }
  return config;
}

std::string FirstLine(const EvaluationSummary& summary, int64_t damaged, double seconds) {
  std::string line = absl::StrFormat("%d images", summary.images);
  if (damaged > 0) absl::StrAppendFormat(&line, " (%d damaged, left out)", damaged);
  absl::StrAppendFormat(&line, ", loss %.4f", summary.loss);
  for (const auto& [k, accuracy] : summary.topk) {
    absl::StrAppendFormat(&line, ", top-%d accuracy %.2f %%", k, 100 * accuracy);
  }
  absl::StrAppendFormat(&line, " (%.1f images/s)\n", static_cast<double>(summary.images) / seconds);
  return line;
}

}  // namespace

absl::StatusOr<std::string> RunEvaluate(const LoadedConfig& loaded, const EvaluateFlags& flags,
                                        Communicator* comm) {
  FT_RETURN_IF_ERROR(Agree(CheckFiles(loaded, flags, *comm), *comm));
  FT_ASSIGN_OR_RETURN(CheckpointEvaluation evaluation,
                      EvaluateCheckpoint(loaded, flags.evaluate, comm));
  EvaluationSource source;
  source.checkpoint = flags.evaluate.checkpoint;
  source.config = loaded.file;
  source.data = loaded.config.data().val().path();
  source.split = loaded.config.data().val().split();
  source.flip = flags.evaluate.flip;
  source.damaged = evaluation.damaged;
  if (!flags.compare.empty()) {
    EvaluateOptions options = flags.evaluate;
    options.checkpoint = flags.compare;
    options.scores.clear();
    const absl::StatusOr<LoadedConfig> config = ConfigOfOther(loaded, flags.compare);
    FT_RETURN_IF_ERROR(Agree(Annotate(config.status(), "--compare"), *comm));
    const absl::StatusOr<CheckpointEvaluation> other = EvaluateCheckpoint(*config, options, comm);
    FT_RETURN_IF_ERROR(Annotate(config->WithPlace(other.status()), "--compare"));
    // Damaged images were skipped in both evaluations, so the indices are equal unless a file
    // changed in between.
    if (other->indices != evaluation.indices) {
      return absl::FailedPreconditionError(
          "--compare: the two checkpoints were evaluated on different images, because a file has "
          "changed in between; run this again");
    }
    source.other =
        EvaluationSource::Other{flags.compare, TopKAccuracy(other->predictions, 1),
                                CompareByMcNemar(evaluation.predictions, other->predictions)};
  }

  std::string text;
  absl::Status written;
  if (comm->rank() == 0) {
    const EvaluationSummary summary =
        Summarize(evaluation.predictions, std::move(evaluation.class_names),
                  TopKs(loaded.config.model().head()));
    text = FirstLine(summary, evaluation.damaged, evaluation.seconds) + ToTable(summary, source);
    if (!flags.output.empty()) {
      written = Annotate(WriteFileAtomically(flags.output, ToJson(summary, source)), "--output");
    }
  }
  FT_RETURN_IF_ERROR(Agree(written, *comm));
  return text;
}

}  // namespace finetune
