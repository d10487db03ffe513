#include "src/train/snapshot.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/checkpoint/reader.h"
#include "src/model/load.h"

namespace finetune {
namespace {

constexpr const char* kVersion = "finetune 1";

// The part of the flat momentum that is a parameter's, in the parameter's shape and memory order.
at::Tensor MomentumOf(Sgd* sgd, const ParameterSpan& span, const at::Tensor& parameter) {
  return sgd->momentum().as_strided(parameter.sizes(), parameter.strides(), span.offset);
}

std::map<std::string, at::Tensor> ByName(const TensorList& tensors) {
  std::map<std::string, at::Tensor> map;
  for (const NamedTensor& tensor : tensors) map[tensor.name] = tensor.tensor;
  return map;
}

}  // namespace

Value MakeCheckpoint(const Classifier& model, Sgd* sgd, const Progress& progress,
                     const CheckpointMeta& meta) {
  const std::map<std::string, at::Tensor> parameters = ByName(model.parameters());
  Value::Dict momentum;
  for (const ParameterSpan& span : sgd->spans()) {
    momentum.Append(span.name, MomentumOf(sgd, span, parameters.at(span.name)));
  }
  Value::Dict optimizer;
  optimizer.Append("kind", "sgd");
  optimizer.Append("momentum", std::move(momentum));
  Value::List classes(meta.class_names.begin(), meta.class_names.end());
  Value::Dict about;
  about.Append("writer", kVersion);
  about.Append("epoch", progress.iteration / meta.iterations_per_epoch);
  about.Append("iteration", progress.iteration);
  about.Append("iterations_per_epoch", meta.iterations_per_epoch);
  about.Append("total_batch_size", meta.total_batch);
  about.Append("seed", absl::StrCat(meta.seed));
  about.Append("best_accuracy", progress.best_accuracy);
  about.Append("best_iteration", progress.best_iteration);
  about.Append("validation_due", progress.validation_due);
  about.Append("CLASSES", std::move(classes));
  about.Append("cfg", meta.config_text);
  Value::Dict root;
  root.Append("meta", std::move(about));
  root.Append("state_dict", Value::FromTensors(model.State()));
  root.Append("optimizer", std::move(optimizer));
  return root;
}

absl::StatusOr<Progress> RestoreCheckpoint(const Value& root, const CheckpointMeta& expected,
                                           Classifier* model, Sgd* sgd) {
  FT_ASSIGN_OR_RETURN(Value meta, root.Get("meta"));
  FT_ASSIGN_OR_RETURN(std::string seed, meta.GetString("seed"));
  if (seed != absl::StrCat(expected.seed)) {
    return absl::InvalidArgumentError(absl::StrCat("it is of a run with runtime.seed ", seed,
                                                   "; the config has ", expected.seed));
  }
  FT_ASSIGN_OR_RETURN(int64_t total_batch, meta.GetInt("total_batch_size"));
  if (total_batch != expected.total_batch) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is of a run with ", total_batch, " pictures an iteration; this one takes ",
                     expected.total_batch,
                     ": start as many ranks, or set data.train.total_batch_size: ", total_batch));
  }
  FT_ASSIGN_OR_RETURN(int64_t per_epoch, meta.GetInt("iterations_per_epoch"));
  if (per_epoch != expected.iterations_per_epoch) {
    return absl::InvalidArgumentError(
        absl::StrCat("it is of a run with ", per_epoch, " iterations an epoch; this one has ",
                     expected.iterations_per_epoch, ": the data differ"));
  }
  Progress progress;
  FT_ASSIGN_OR_RETURN(progress.iteration, meta.GetInt("iteration"));
  FT_ASSIGN_OR_RETURN(progress.best_accuracy, meta.GetDouble("best_accuracy"));
  FT_ASSIGN_OR_RETURN(progress.best_iteration, meta.GetInt("best_iteration"));
  FT_ASSIGN_OR_RETURN(progress.validation_due, meta.GetBool("validation_due"));

  FT_ASSIGN_OR_RETURN(TensorList state, StateDictOf(root));
  FT_RETURN_IF_ERROR(LoadClassifier(state, model).status());

  FT_ASSIGN_OR_RETURN(Value optimizer, root.Get("optimizer"));
  FT_ASSIGN_OR_RETURN(TensorList momentum, optimizer.GetTensors("momentum"));
  const std::map<std::string, at::Tensor> saved = ByName(momentum);
  const std::map<std::string, at::Tensor> parameters = ByName(model->parameters());
  for (const ParameterSpan& span : sgd->spans()) {
    const auto found = saved.find(span.name);
    const at::Tensor target = MomentumOf(sgd, span, parameters.at(span.name));
    if (found == saved.end() || found->second.sizes() != target.sizes()) {
      return absl::InvalidArgumentError(absl::StrCat("it has no momentum for ", span.name,
                                                     ": other parameters were trained in it"));
    }
    target.copy_(found->second);
  }
  return progress;
}

}  // namespace finetune
