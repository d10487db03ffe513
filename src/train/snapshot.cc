#include "src/train/snapshot.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/annotate.h"
#include "src/checkpoint/own_checkpoint.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/state_dict.h"
#include "src/model/load.h"
#include "src/optim/validation_metric.h"
#include "src/train/checkpoint_config.h"
#include "src/train/match_config.h"
#include "src/train/optimizer_state.h"

namespace finetune {
namespace {

// The entry of a checkpoint that holds the averaged weights.
constexpr const char* kAveragedWeights = "state_dict_ema";

// The advice on how to start a new run from a checkpoint's weights alone.
constexpr const char* kStartInstead =
    ". To start a new run from all of its weights, the head's too, leave out --resume and give it "
    "as --set=model.backbone.pretrained.checkpoint=FILE with "
    "--set=model.backbone.pretrained.with_head=true";

// Compares the checkpoint's data with this run's. With `other_data` they may differ; then the
// progress is moved to the same epoch of this run's data.
absl::Status TakeData(const Value& meta, const CheckpointMeta& expected, bool other_data,
                      Restored* restored) {
  FT_ASSIGN_OR_RETURN(const DataIdentity saved, ReadDataIdentity(meta));
  const DataDifference difference = CompareData(saved, expected.data);
  const std::string differences = absl::StrJoin(difference.sentences, "; ");
  if (difference.renumbered) {
    return absl::InvalidArgumentError(
        absl::StrCat(differences,
                     ". Its outputs would stand for other classes: prepare the data with the "
                     "checkpoint's classes under their numbers"));
  }
  if (saved.statistics.has_value() && expected.data.statistics.has_value() &&
      (saved.statistics->mean != expected.data.statistics->mean ||
       saved.statistics->std != expected.data.statistics->std)) {
    restored->warnings.push_back(
        absl::StrCat("data.train normalises by ", Describe(*expected.data.statistics),
                     "; the checkpoint's run normalised by ", Describe(*saved.statistics),
                     ". The model goes on with images of other values than it was trained with"));
  }
  FT_ASSIGN_OR_RETURN(const int64_t per_epoch, meta.GetInt("iterations_per_epoch"));
  if (!other_data) {
    const char* advice =
        ". Resume on the data of the checkpoint, or give --allow_other_data if you mean it";
    if (!difference.sentences.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("the data differ: ", differences, advice));
    }
    if (per_epoch != expected.iterations_per_epoch) {
      return absl::InvalidArgumentError(
          absl::StrCat("it is of a run with ", per_epoch, " iterations an epoch; this one has ",
                       expected.iterations_per_epoch, ": the data differ", advice));
    }
    return absl::OkStatus();
  }
  if (!difference.sentences.empty()) {
    restored->warnings.push_back(
        absl::StrCat("going on with other data, as --allow_other_data says: ", differences));
  }
  Progress& progress = restored->progress;
  if (difference.val_differs) {
    progress.best.clear();
    progress.early_stopping = EarlyStoppingState();
    progress.plateau.best.reset();
    progress.plateau.without = 0;
  }
  if (per_epoch == expected.iterations_per_epoch) return absl::OkStatus();
  if (per_epoch < 1 || progress.iteration % per_epoch != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is of iteration ", progress.iteration, ", in the middle of an epoch of ",
                     per_epoch, "; this run's data make ", expected.iterations_per_epoch,
                     " iterations an epoch. Resume from a checkpoint of an epoch's end"));
  }
  const int64_t epoch = progress.iteration / per_epoch;
  progress.iteration = epoch * expected.iterations_per_epoch;
  const auto moved = [&](int64_t iteration) {
    return iteration / per_epoch * expected.iterations_per_epoch;
  };
  for (BestValidation& one : progress.best) one.iteration = moved(one.iteration);
  progress.early_stopping.best_iteration = moved(progress.early_stopping.best_iteration);
  restored->warnings.push_back(absl::StrCat("an epoch has ", expected.iterations_per_epoch,
                                            " iterations and had ", per_epoch,
                                            "; the run goes on after epoch ", epoch));
  return absl::OkStatus();
}

// Loads a checkpoint's averaged weights into `average`. Loads them through the model, whose weights
// the average replaces meanwhile, so that they are checked like other weights.
absl::Status RestoreAverage(const Value& root, WeightAverage* average, Classifier* model,
                            std::vector<std::string>* warnings) {
  StateDict state;
  FT_ASSIGN_OR_RETURN(state.tensors, root.GetTensors(kAveragedWeights));
  const AveragesInPlace in_place(average);
  FT_ASSIGN_OR_RETURN(const LoadReport report, LoadResumed(state, model));
  for (const std::string& warning : report.warnings) {
    warnings->push_back(absl::StrCat(kAveragedWeights, ": ", warning));
  }
  return absl::OkStatus();
}

Value OptionalNumber(const std::optional<double>& number) {
  return number.has_value() ? Value(*number) : Value();
}

// Appends what the run has decided by its validations.
void AppendDecisions(const Progress& progress, const DecidingMetrics& metrics, Value::Dict* meta) {
  // Earlier builds read only best_accuracy (-1: none yet) and best_iteration.
  const bool has_accuracy = !progress.best.empty() && HigherIsBetter(metrics.best);
  meta->Append("best_accuracy", has_accuracy ? progress.best.front().value : -1.0);
  meta->Append("best_iteration",
               progress.best.empty() ? int64_t{0} : progress.best.front().iteration);
  Value::List best;
  for (const BestValidation& one : progress.best) {
    Value::Dict entry;
    entry.Append("value", one.value);
    entry.Append("iteration", one.iteration);
    best.push_back(std::move(entry));
  }
  meta->Append("best_metric", NameOf(metrics.best));
  meta->Append("best", std::move(best));
  if (metrics.early_stopping.has_value()) {
    Value::Dict stopping;
    stopping.Append("metric", NameOf(*metrics.early_stopping));
    stopping.Append("best", OptionalNumber(progress.early_stopping.best));
    stopping.Append("best_iteration", progress.early_stopping.best_iteration);
    stopping.Append("without", progress.early_stopping.without);
    meta->Append("early_stopping", std::move(stopping));
  }
  if (metrics.plateau.has_value()) {
    Value::Dict plateau;
    plateau.Append("metric", NameOf(*metrics.plateau));
    plateau.Append("best", OptionalNumber(progress.plateau.best));
    plateau.Append("without", progress.plateau.without);
    plateau.Append("cooldown", progress.plateau.cooldown);
    plateau.Append("reductions", progress.plateau.reductions);
    meta->Append("plateau", std::move(plateau));
  }
}

// Reads a count of validations or iterations, which cannot be more than the iterations of the run.
absl::StatusOr<int64_t> ReadCount(const Value& dict, absl::string_view key, int64_t iteration) {
  FT_ASSIGN_OR_RETURN(const int64_t count, dict.GetInt(key));
  if (count >= 0 && count <= iteration) return count;
  return absl::InvalidArgumentError(absl::StrCat("meta.", key, " is ", count,
                                                 "; expected 0 to the checkpoint's iteration, ",
                                                 iteration, ": the file was changed"));
}

absl::StatusOr<std::optional<double>> ReadOptionalNumber(const Value& dict, absl::string_view key) {
  FT_ASSIGN_OR_RETURN(const Value number, dict.Get(key));
  if (number.is_none()) return std::nullopt;
  FT_ASSIGN_OR_RETURN(const double value, dict.GetDouble(key));
  return value;
}

// Returns whether the checkpoint's state was decided by `expected`. Otherwise it must be reset, and
// a warning says so. `field`: the state's message of the config.
absl::StatusOr<bool> HasMetric(const Value& dict, absl::string_view key, ValidationMetric expected,
                               absl::string_view field, std::vector<std::string>* warnings) {
  FT_ASSIGN_OR_RETURN(const std::string metric, dict.GetString(key));
  if (metric == NameOf(expected)) return true;
  warnings->push_back(absl::StrCat("the checkpoint's run decided about ", field, " by ",
                                   Printable(metric), ", and this one by ", NameOf(expected),
                                   ": it begins anew with the next validation"));
  return false;
}

absl::Status ReadBest(const Value& meta, const CheckpointMeta& expected, Restored* restored) {
  Progress& progress = restored->progress;
  FT_ASSIGN_OR_RETURN(const int64_t iteration,
                      ReadCount(meta, "best_iteration", progress.iteration));
  const absl::StatusOr<Value> best = meta.Get("best");
  if (!best.ok()) {
    // A checkpoint of an earlier build.
    FT_ASSIGN_OR_RETURN(const double accuracy, meta.GetDouble("best_accuracy"));
    if (accuracy >= 0 && expected.metrics.best == TOP1) progress.best = {{accuracy, iteration}};
    return absl::OkStatus();
  }
  FT_ASSIGN_OR_RETURN(const bool same, HasMetric(meta, "best_metric", expected.metrics.best,
                                                 "runtime.checkpoint", &restored->warnings));
  if (!same || best->list() == nullptr) return absl::OkStatus();
  for (const Value& entry : *best->list()) {
    if (progress.best.size() == expected.keep_best) break;
    BestValidation& one = progress.best.emplace_back();
    FT_ASSIGN_OR_RETURN(one.value, entry.GetDouble("value"));
    FT_ASSIGN_OR_RETURN(one.iteration, ReadCount(entry, "iteration", progress.iteration));
  }
  return absl::OkStatus();
}

absl::Status ReadEarlyStopping(const Value& state, ValidationMetric metric, Restored* restored) {
  Progress& progress = restored->progress;
  EarlyStoppingState& stopping = progress.early_stopping;
  FT_ASSIGN_OR_RETURN(const bool same, HasMetric(state, "metric", metric, "schedule.early_stopping",
                                                 &restored->warnings));
  if (!same) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(stopping.best, ReadOptionalNumber(state, "best"));
  FT_ASSIGN_OR_RETURN(stopping.best_iteration,
                      ReadCount(state, "best_iteration", progress.iteration));
  FT_ASSIGN_OR_RETURN(stopping.without, ReadCount(state, "without", progress.iteration));
  return absl::OkStatus();
}

absl::Status ReadPlateau(const Value& state, ValidationMetric metric, Restored* restored) {
  Progress& progress = restored->progress;
  PlateauState& plateau = progress.plateau;
  FT_ASSIGN_OR_RETURN(plateau.reductions, ReadCount(state, "reductions", progress.iteration));
  FT_ASSIGN_OR_RETURN(const bool same,
                      HasMetric(state, "metric", metric, "schedule.plateau", &restored->warnings));
  if (!same) return absl::OkStatus();
  FT_ASSIGN_OR_RETURN(plateau.best, ReadOptionalNumber(state, "best"));
  FT_ASSIGN_OR_RETURN(plateau.without, ReadCount(state, "without", progress.iteration));
  FT_ASSIGN_OR_RETURN(plateau.cooldown, state.GetInt("cooldown"));
  return absl::OkStatus();
}

// Reads what the run had decided by its validations. The state of early_stopping or plateau begins
// anew if the checkpoint's run had no such setting.
absl::Status ReadDecisions(const Value& meta, const CheckpointMeta& expected, Restored* restored) {
  FT_RETURN_IF_ERROR(ReadBest(meta, expected, restored));
  const std::optional<ValidationMetric> stopping = expected.metrics.early_stopping;
  if (const absl::StatusOr<Value> state = meta.Get("early_stopping");
      state.ok() && stopping.has_value()) {
    FT_RETURN_IF_ERROR(Annotate(ReadEarlyStopping(*state, *stopping, restored), "early_stopping"));
  }
  const std::optional<ValidationMetric> plateau = expected.metrics.plateau;
  if (const absl::StatusOr<Value> state = meta.Get("plateau"); state.ok() && plateau.has_value()) {
    FT_RETURN_IF_ERROR(Annotate(ReadPlateau(*state, *plateau, restored), "plateau"));
  }
  return absl::OkStatus();
}

}  // namespace

Value MakeCheckpoint(const Classifier& model, const Optimizer& optimizer,
                     const WeightAverage* average, const Progress& progress,
                     const CheckpointMeta& meta) {
  Value::Dict about;
  AppendWriter(&about);
  about.Append("epoch", progress.iteration / meta.iterations_per_epoch);
  about.Append("iteration", progress.iteration);
  about.Append("iterations_per_epoch", meta.iterations_per_epoch);
  about.Append("total_batch_size", meta.total_batch);
  about.Append("seed", absl::StrCat(meta.seed));
  about.Append("validation_due", progress.validation_due);
  about.Append("statistics_due", progress.statistics_due);
  AppendDecisions(progress, meta.metrics, &about);
  AppendTo(meta.data, &about);
  about.Append("cfg", meta.config_text);
  Value::Dict root;
  root.Append("meta", std::move(about));
  root.Append("state_dict", Value::FromTensors(model.State()));
  if (average != nullptr) {
    root.Append(kAveragedWeights, Value::FromTensors(average->Of(model.State())));
  }
  root.Append("optimizer", OptimizerToValue(optimizer, model.parameters()));
  return root;
}

absl::StatusOr<Restored> RestoreCheckpoint(const Value& root, const CheckpointMeta& expected,
                                           const LoadedConfig& loaded, bool other_data,
                                           Classifier* model, Optimizer* optimizer,
                                           WeightAverage* average) {
  const absl::StatusOr<Value> meta_entry = root.Get("meta");
  if (!meta_entry.ok() || !NamesOwnWriter(*meta_entry)) {
    FT_RETURN_IF_ERROR(CheckPlain(root));
    return absl::InvalidArgumentError(absl::StrCat(
        "it is not a checkpoint of finetune, so it does not say where its run is", kStartInstead));
  }
  const Value& meta = *meta_entry;
  FT_RETURN_IF_ERROR(CheckCheckpointVersion(meta));
  if (IsExported(meta)) {
    return absl::InvalidArgumentError(absl::StrCat(kCannotResumeExported, kStartInstead));
  }
  Restored restored;
  const absl::StatusOr<std::optional<LoadedConfig>> saved =
      ReadCheckpointConfig(meta, "its config", /*overrides=*/{});
  FT_ASSIGN_OR_RETURN(
      std::string unread,
      CheckNetwork(saved, loaded,
                   "Set these fields as expected, or start a new run without --resume"));
  if (!unread.empty()) restored.warnings.push_back(std::move(unread));
  FT_ASSIGN_OR_RETURN(std::string seed, meta.GetString("seed"));
  if (seed != absl::StrCat(expected.seed)) {
    return absl::InvalidArgumentError(absl::StrCat("it is of a run with runtime.seed ", seed,
                                                   "; the config has ", expected.seed));
  }
  FT_ASSIGN_OR_RETURN(int64_t total_batch, meta.GetInt("total_batch_size"));
  if (total_batch != expected.total_batch) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is of a run with ", total_batch, " images an iteration; this one takes ",
                     expected.total_batch,
                     ": start as many ranks, or set data.train.total_batch_size: ", total_batch));
  }
  Progress& progress = restored.progress;
  FT_ASSIGN_OR_RETURN(progress.iteration, meta.GetInt("iteration"));
  FT_ASSIGN_OR_RETURN(progress.validation_due, meta.GetBool("validation_due"));
  // Earlier builds do not write it.
  if (meta.Get("statistics_due").ok()) {
    FT_ASSIGN_OR_RETURN(progress.statistics_due, meta.GetBool("statistics_due"));
  }
  if (progress.iteration < 0) {
    return absl::InvalidArgumentError(absl::StrCat("meta.iteration is ", progress.iteration,
                                                   "; expected 0 or more: the file was changed"));
  }
  FT_RETURN_IF_ERROR(ReadDecisions(meta, expected, &restored));
  FT_RETURN_IF_ERROR(TakeData(meta, expected, other_data, &restored));

  const bool has_average = root.Get(kAveragedWeights).ok();
  const bool averages = average != nullptr && average->HasBegun(progress.iteration);
  if (averages && has_average) {
    // This also overwrites the model's tensors that are not averaged. Loading state_dict below sets
    // them right.
    FT_RETURN_IF_ERROR(
        Annotate(RestoreAverage(root, average, model, &restored.warnings), kAveragedWeights));
  }
  StateDict state;
  FT_ASSIGN_OR_RETURN(state.tensors, root.GetTensors("state_dict"));
  FT_ASSIGN_OR_RETURN(const LoadReport report, LoadResumed(state, model));
  restored.warnings.insert(restored.warnings.end(), report.warnings.begin(), report.warnings.end());

  if (averages && !has_average) {
    average->Reset();
    restored.warnings.emplace_back(
        "the checkpoint has no averaged weights, because its run had no optimizer.ema or swa; the "
        "average starts at the checkpoint's weights");
  } else if (!averages && has_average) {
    restored.warnings.push_back(absl::StrCat("the checkpoint has averaged weights, and ",
                                             average == nullptr
                                                 ? "the config has no optimizer.ema or swa"
                                                 : "optimizer.swa begins after its epoch",
                                             "; the run goes on without them"));
  }
  FT_ASSIGN_OR_RETURN(const Value state_of_optimizer, root.Get("optimizer"));
  const absl::Status status = RestoreOptimizer(state_of_optimizer, model->parameters(), optimizer);
  if (absl::IsInvalidArgument(status)) {
    return absl::InvalidArgumentError(absl::StrCat(status.message(), kStartInstead));
  }
  FT_RETURN_IF_ERROR(status);
  for (const NamedTensor& tensor : optimizer->State()) {
    FT_ASSIGN_OR_RETURN(const TensorList parts, state_of_optimizer.GetTensors(tensor.name));
    std::string warning = WarnOfHugeValues(absl::StrCat("the ", tensor.name, " of "), parts);
    if (!warning.empty()) restored.warnings.push_back(std::move(warning));
  }
  if (saved.ok() && saved->has_value()) {
    std::string changes = DescribeChanges(**saved, loaded);
    if (!changes.empty()) restored.notes.push_back(std::move(changes));
  }
  return restored;
}

}  // namespace finetune
