#include "src/tune/batch.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "src/base/annotate.h"
#include "src/base/median.h"
#include "src/comm/agreement.h"
#include "src/host/memory.h"
#include "src/train/device.h"
#include "src/train/setup.h"
#include "src/train/timed_step.h"
#include "src/train/torch_error.h"
#include "src/train/training_step.h"
#include "src/tune/growth.h"
#include "src/tune/quiet_communicator.h"

namespace finetune {
namespace {

// Returns the config of the measured steps: each batch is one pass. A recorded step would repeat
// the shapes of the first batch.
ExperimentConfig MeasuredConfig(const ExperimentConfig& config) {
  ExperimentConfig measured = config;
  measured.mutable_data()->mutable_train()->clear_micro_batch_size();
  measured.mutable_runtime()->clear_cuda_graph();
  return measured;
}

// Replaces each number by the largest of all ranks. Collective.
absl::Status TakeLargest(std::vector<double>* numbers, Communicator* comm) {
  std::string mine;
  for (const double number : *numbers) absl::StrAppendFormat(&mine, "%.17g ", number);
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> texts, comm->AllGather(mine));
  for (const std::string& text : texts) {
    const std::vector<std::string> words = absl::StrSplit(text, ' ', absl::SkipEmpty());
    for (size_t i = 0; i < numbers->size() && i < words.size(); ++i) {
      double number = 0;
      if (absl::SimpleAtod(words[i], &number)) (*numbers)[i] = std::max((*numbers)[i], number);
    }
  }
  return absl::OkStatus();
}

// Measures passes of ascending sizes.
class Measurer {
 public:
  // `least`: the number of images in the smallest pass that the model can be trained with.
  Measurer(const ExperimentConfig& config, int64_t least, int iterations, Setup* setup,
           QuietCommunicator* comm)
      : config_(MeasuredConfig(config)),
        least_(least),
        iterations_(iterations),
        setup_(*setup),
        comm_(*comm) {}

  absl::StatusOr<PassMeasurement> Measure(int64_t micro_batch) {
    comm_.SetActivity(absl::StrCat("measuring passes of ", micro_batch, " images"));
    if (OnCpu() && earlier_ == 0) {
      // The memory of the first size is foreseen from smaller ones.
      for (int64_t size = least_; size < micro_batch; size *= 2) {
        FT_RETURN_IF_ERROR(Try(size).status());
      }
    }
    FT_ASSIGN_OR_RETURN(const Batch batch, Try(micro_batch));
    const absl::StatusOr<PassMeasurement> measured =
        CatchTorch([&] { return MeasureIterations(micro_batch, batch); });
    // Without Abort() the other ranks would wait for this one.
    if (!measured.ok()) {
      comm_.Abort(
          absl::StrCat("with a micro-batch of ", micro_batch,
                       ", which fitted without all-reduces: ", measured.status().message()));
    }
    return measured;
  }

 private:
  bool OnCpu() const { return setup_.device.is_cpu(); }

  // Creates the step that all sizes share.
  absl::Status MakeStep() {
    FT_ASSIGN_OR_RETURN(step_, TrainingStep::Create(config_, setup_.device, setup_.model.get(),
                                                    &comm_, setup_.class_weights));
    setup_.model->ParametersChanged(/*all=*/true);
    ResetPeakMemory(setup_.device);
    if (base_ == 0) base_ = ResidentBytes();
    return absl::OkStatus();
  }

  // Checks, by the size before, whether this size will fit. Collective.
  absl::Status CheckMemory(int64_t micro_batch) {
    const int64_t foreseen =
        earlier_ == 0 ? base_ : ForeseenBytes(base_, earlier_, peak_, micro_batch);
    return CheckGrowthOfAll(std::max<int64_t>(0, foreseen - ResidentBytes()), &comm_);
  }

  // Returns whether an iteration failed because this rank's memory is full. Where oneDNN gets no
  // memory, it says "could not create a primitive" or "could not execute a primitive"; it could for
  // the size before.
  bool IsFull(const absl::Status& status) const {
    return absl::IsResourceExhausted(status) ||
           (earlier_ > 0 && absl::StrContains(status.message(), "could not") &&
            absl::StrContains(status.message(), "a primitive"));
  }

  // Tries two iterations without all-reduces and returns their batch. Errors: the same on every
  // rank; ResourceExhausted where the batch does not fit on all ranks.
  absl::StatusOr<Batch> Try(int64_t micro_batch) {
    if (step_ == nullptr) FT_RETURN_IF_ERROR(MakeStep());
    if (OnCpu()) {
      FT_RETURN_IF_ERROR(CheckMemory(micro_batch));
    } else {
      ResetPeakMemory(setup_.device);
    }
    Batch batch;
    comm_.SetQuiet(true);
    absl::Status tried = CatchTorch([&]() -> absl::Status {
      const Pipeline& pipeline = setup_.train->pipeline();
      batch = RandomBatch({.count = micro_batch,
                           .channels = pipeline.channels(),
                           .height = pipeline.height(),
                           .width = pipeline.width(),
                           .classes = config_.model().head().num_classes(),
                           .bfloat16 = setup_.bfloat16,
                           .device = setup_.device},
                          comm_.size());
      // Twice, because memory that the first iteration leaves in pieces may be too little for the
      // second one.
      PhaseTimer timer;
      FT_RETURN_IF_ERROR(RunOnce(batch, &timer));
      return RunOnce(batch, &timer);
    });
    comm_.SetQuiet(false);
    if (IsFull(tried)) tried = absl::ResourceExhaustedError("out of memory");
    const absl::Status agreed = Agree(tried, comm_);
    // A pass that was broken off leaves the step's gradients half written.
    if (!agreed.ok()) {
      step_.reset();
      return agreed;
    }
    earlier_ = micro_batch;
    peak_ = PeakMemoryMebibytes(setup_.device) << 20;
    return batch;
  }

  absl::StatusOr<PassMeasurement> MeasureIterations(int64_t micro_batch, const Batch& batch) {
    std::vector<double> pass_s, iteration_s;
    for (int i = 0; i < iterations_; ++i) {
      FT_RETURN_IF_ERROR(comm_.Barrier());
      PhaseTimer timer;
      FT_RETURN_IF_ERROR(RunOnce(batch, &timer));
      pass_s.push_back(timer.Seconds("forward") + timer.Seconds("backward"));
      iteration_s.push_back(pass_s.back() + timer.Seconds("wait for gradients") +
                            timer.Seconds("update"));
    }
    // A fast rank waits for the slowest, so the iteration takes about as long on all ranks.
    std::vector<double> numbers = {Median(pass_s), Median(iteration_s),
                                   static_cast<double>(PeakMemoryMebibytes(setup_.device))};
    FT_RETURN_IF_ERROR(TakeLargest(&numbers, &comm_));
    return PassMeasurement{micro_batch, numbers[0], std::max(0.0, numbers[1] - numbers[0]),
                           static_cast<int64_t>(numbers[2])};
  }

  // Runs one iteration. On a GPU it waits for the device where backward and the update end.
  absl::Status RunOnce(const Batch& batch, PhaseTimer* timer) {
    const auto on_phase = [&](absl::string_view phase) {
      if (phase == "wait for gradients") DevicePoint(setup_.device).Wait();
      timer->Begin(phase);
    };
    // The learning rate is 0, because training on noise could make the weights diverge.
    FT_RETURN_IF_ERROR(step_
                           ->Run(
                               batch, [](const Batch& given) { return given.images; },
                               /*whole=*/true, /*lr=*/0, /*iteration=*/0, on_phase)
                           .status());
    DevicePoint(setup_.device).Wait();
    timer->End();
    return absl::OkStatus();
  }

  const ExperimentConfig config_;
  const int64_t least_;
  const int iterations_;
  Setup& setup_;
  QuietCommunicator& comm_;
  std::unique_ptr<TrainingStep> step_;
  int64_t base_ = 0;     // the process's bytes before the first pass
  int64_t earlier_ = 0;  // the images of the last pass that fit; 0: none yet
  int64_t peak_ = 0;     // the process's peak bytes with that pass
};

}  // namespace

absl::Status CheckBatchFlags(const BatchFlags& flags) {
  if (flags.from <= flags.to) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "--to: found %d and --from=%d; expected a --to of --from or more", flags.to, flags.from));
}

absl::StatusOr<BatchResult> MeasureBatches(
    const LoadedConfig& loaded, const BatchFlags& flags,
    const std::function<void(const BatchFacts& facts, const IterationRow& row)>& on_row,
    const std::function<void(int64_t micro_batch, const std::string& reason)>& on_too_large,
    Communicator* comm) {
  QuietCommunicator quiet(comm);
  FT_ASSIGN_OR_RETURN(Setup setup, Prepare(loaded, /*evaluated=*/nullptr, /*resumes=*/false,
                                           /*trace=*/nullptr, &quiet));
  PrintNotes(setup, *comm);
  // Stops the validation data's threads. Those of the training data, and the batches that they have
  // prepared, stay as in a run.
  setup.val.reset();
  const Pipeline& pipeline = setup.train->pipeline();
  // With one image, a batch norm over maps of 1x1 would have one value a channel.
  const int64_t least =
      setup.model->LeastBatchNormValues(pipeline.height(), pipeline.width()) == 1 ? 2 : 1;
  if (flags.to < least) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--to: found %d; the network's last maps of %dx%d images are 1x1, and batch norm needs two "
        "values a channel: give --to=2 or more",
        flags.to, pipeline.height(), pipeline.width()));
  }
  BatchResult result;
  bool any_fits = false;
  const Sampler& sampler = setup.train->sampler();
  result.facts = {sampler.total_batch, sampler.LargestPart(), comm->size()};
  Measurer measurer(loaded.config, least, flags.iterations, &setup, &quiet);
  absl::StatusOr<FoundSizes> found = SearchSizes(
      SizesToTry(std::max<int64_t>(flags.from, least), flags.to, result.facts.rank_batch),
      [&](int64_t micro_batch) {
        absl::StatusOr<PassMeasurement> measured = measurer.Measure(micro_batch);
        if (measured.ok()) {
          any_fits = true;
          on_row(result.facts, RowOf(*measured, result.facts));
        } else if (any_fits && absl::IsResourceExhausted(measured.status())) {
          on_too_large(micro_batch, std::string(measured.status().message()));
        }
        return measured;
      });
  if (absl::IsResourceExhausted(found.status())) {
    return Annotate(found.status(), absl::StrCat("--from=", flags.from, ": does not fit"));
  }
  FT_RETURN_IF_ERROR(found.status());
  result.found = *std::move(found);
  return result;
}

std::string Recommend(const BatchResult& result, const SplitConfig& train) {
  const BatchFacts& facts = result.facts;
  const std::string keeps =
      train.has_batch_size()
          ? absl::StrCat("--set=data.train.batch_size=", train.batch_size())
          : absl::StrCat("--set=data.train.total_batch_size=", facts.total_batch);
  const auto line = [&](int64_t micro_batch) {
    // 0 stands for one pass.
    return absl::StrCat("  ", keeps, " --set=data.train.micro_batch_size=",
                        micro_batch < facts.rank_batch ? micro_batch : 0, "\n");
  };
  std::vector<IterationRow> rows;
  for (const PassMeasurement& measured : result.found.fitting) {
    rows.push_back(RowOf(measured, facts));
  }
  std::string text;
  if (const std::optional<size_t> fastest = FastestRow(rows, facts); fastest.has_value()) {
    const IterationRow& row = rows[*fastest];
    absl::StrAppendFormat(&text,
                          "fastest with %d images an iteration: a micro-batch of %d, %.1f "
                          "images/s\n%s",
                          facts.total_batch, row.micro_batch, row.images_per_s,
                          line(row.micro_batch));
  }
  const int64_t largest = rows.back().micro_batch;
  absl::StrAppendFormat(&text, "largest that %s: a micro-batch of %d\n",
                        result.found.too_large.has_value() ? "fits" : "was tried", largest);
  if (largest <= facts.rank_batch) return text + line(largest);
  absl::StrAppendFormat(&text,
                        "  --set=data.train.batch_size=%d makes that %d images an iteration, which "
                        "want another learning rate: finetune lr\n",
                        largest, largest * facts.ranks);
  return text;
}

absl::Status RunBatch(const LoadedConfig& loaded, const BatchFlags& flags, Communicator* comm) {
  const bool prints = comm->rank() == 0;
  bool begun = false;
  const auto on_row = [&](const BatchFacts& facts, const IterationRow& row) {
    if (!prints) return;
    if (!std::exchange(begun, true)) {
      absl::PrintF("%d images an iteration on %d rank%s, up to %d of a rank\n\n", facts.total_batch,
                   facts.ranks, facts.ranks == 1 ? "" : "s", facts.rank_batch);
      absl::PrintF("%11s %11s %6s %11s %8s %10s\n", "micro-batch", "total batch", "passes",
                   "iteration", "images/s", "memory");
    }
    absl::PrintF("%11d %11d %6d %9.3f s %8.1f %6d MiB\n", row.micro_batch, row.total_batch,
                 row.passes, row.seconds, row.images_per_s, row.memory_mebibytes);
    std::fflush(stdout);
  };
  const auto on_too_large = [&](int64_t micro_batch, const std::string& reason) {
    if (!prints) return;
    absl::PrintF("%11d does not fit: %s\n", micro_batch, reason);
    std::fflush(stdout);
  };
  FT_ASSIGN_OR_RETURN(const BatchResult result,
                      MeasureBatches(loaded, flags, on_row, on_too_large, comm));
  if (prints) {
    std::printf("\n%s", Recommend(result, loaded.config.data().train()).c_str());
    std::fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace finetune
