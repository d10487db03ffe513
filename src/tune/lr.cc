#include "src/tune/lr.h"

#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/output_file.h"
#include "src/comm/agreement.h"
#include "src/observe/progress_line.h"
#include "src/optim/optimizer.h"
#include "src/optim/schedule.h"
#include "src/train/device.h"
#include "src/train/loss_exchange.h"
#include "src/train/setup.h"
#include "src/train/torch_error.h"
#include "src/train/training_step.h"

namespace finetune {
namespace {

// Checks on rank 0 that the files may be written.
absl::Status CheckFiles(const LoadedConfig& loaded, const LrFlags& flags,
                        const Communicator& comm) {
  if (comm.rank() != 0) return absl::OkStatus();
  std::vector<OutputFile> outputs;
  for (const std::string& path : flags.outputs) outputs.push_back({"--output", path});
  return CheckOutputs(outputs, flags.force, {loaded.file});
}

absl::Status WriteOutputs(const LrResult& result, const LrFlags& flags, const Communicator& comm) {
  if (comm.rank() != 0) return absl::OkStatus();
  for (const std::string& path : flags.outputs) {
    FT_ASSIGN_OR_RETURN(const LrFormat format, FormatOf(path));
    FT_RETURN_IF_ERROR(Annotate(WriteFileAtomically(path, ToFile(result, format)), "--output"));
  }
  return absl::OkStatus();
}

// Runs iterations until the curve ends.
absl::Status MakeCurve(Setup* setup, TrainingStep* step, Communicator* comm, LrCurve* curve) {
  DeviceBatches batches(setup->train.get(), setup->device);
  LossExchange losses(comm);
  ProgressLine line(stdout, comm->rank() == 0 && IsWatched());
  for (int64_t iteration = 0;; ++iteration) {
    const double lr = curve->NextRate();
    comm->SetActivity(absl::StrCat("learning-rate test, iteration ", iteration));
    FT_ASSIGN_OR_RETURN(const Batch batch, batches.Next());
    FT_ASSIGN_OR_RETURN(const TrainingStep::Result result,
                        step->Run(
                            batch, [&](const Batch& given) { return batches.Images(given); },
                            /*whole=*/false, lr, iteration, [](const char* /*phase*/) {}));
    losses.Add(iteration, lr, result.loss);
    FT_ASSIGN_OR_RETURN(const LossExchange::Exchanged exchanged,
                        losses.Exchange(/*left=*/0, LossExchange::Flags()));
    const double loss = exchanged.losses.front().value;
    line.Draw(absl::StrFormat("learning-rate test [%d/%d]  lr %.2e  loss %.4g", iteration + 1,
                              curve->options().iterations, lr, loss));
    if (!curve->Add(loss)) break;
  }
  line.Clear();
  for (const std::string& sentence : setup->train->TakeSkipped()) {
    std::fprintf(stderr, "warning %s\n", sentence.c_str());
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLrFlags(const LrFlags& flags) {
  if (flags.test.min >= flags.test.max) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--max: found %g and --min=%g; expected a --max above --min",
                        flags.test.max, flags.test.min));
  }
  for (const std::string& path : flags.outputs) FT_RETURN_IF_ERROR(FormatOf(path).status());
  return absl::OkStatus();
}

absl::StatusOr<LrResult> TestLearningRates(const LoadedConfig& loaded, const LrTestOptions& options,
                                           Communicator* comm) {
  FT_ASSIGN_OR_RETURN(Setup setup, Prepare(loaded, /*evaluated=*/nullptr, /*resumes=*/false,
                                           /*trace=*/nullptr, comm));
  PrintNotes(setup, *comm);
  // Stops the validation data's threads.
  setup.val.reset();
  const ExperimentConfig& config = loaded.config;
  FT_ASSIGN_OR_RETURN(
      const std::unique_ptr<TrainingStep> step,
      TrainingStep::Create(config, setup.device, setup.model.get(), comm, setup.class_weights));
  for (const NamedTensor& tensor : setup.model->State()) {
    FT_RETURN_IF_ERROR(comm->Broadcast(tensor.tensor, 0));
  }
  setup.model->ParametersChanged(/*all=*/true);

  LrResult result(options);
  result.config = loaded.file;
  result.field = FindLearningRate(config.optimizer()).field;
  result.total_batch = setup.train->sampler().total_batch;
  result.field_factor = ScaledLearningRate(config.schedule(), 1, result.total_batch);
  result.ranks = comm->size();
  const absl::Status made =
      CatchTorch([&] { return MakeCurve(&setup, step.get(), comm, &result.curve); });
  // Without Abort() the other ranks would wait for this one.
  if (!made.ok() && !IsAgreed(made)) comm->Abort(made.message());
  FT_RETURN_IF_ERROR(made);
  if (const absl::StatusOr<LrSuggestion> suggestion = SuggestLearningRate(result.curve);
      suggestion.ok()) {
    result.suggestion = *suggestion;
  }
  return result;
}

absl::Status RunLr(const LoadedConfig& loaded, const LrFlags& flags, Communicator* comm) {
  FT_RETURN_IF_ERROR(Agree(CheckFiles(loaded, flags, *comm), *comm));
  FT_ASSIGN_OR_RETURN(const LrResult result, TestLearningRates(loaded, flags.test, comm));
  if (comm->rank() == 0) {
    std::fputs(ToTable(result).c_str(), stdout);
    std::fflush(stdout);
  }
  FT_RETURN_IF_ERROR(Agree(WriteOutputs(result, flags, *comm), *comm));
  return SuggestLearningRate(result.curve).status();
}

}  // namespace finetune
