// Summarizes a model of any network: one image runs through it with LibTorch's plain operators, and
// a callback of LibTorch's profiler interface (RecordFunction) sees each operator with its inputs
// and its result. An operator that reads a parameter belongs to the layer whose name the parameter
// starts with.

#include "src/plan/summary.h"

#include <ATen/ops/zeros.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "src/base/annotate.h"
#include "src/comm/single_communicator.h"
#include "src/model/classifier.h"
#include "src/plan/rank_memory.h"
#include "src/plan/training_data.h"
#include "src/train/training_step.h"

namespace finetune {
namespace {

constexpr double kMebibyte = 1 << 20;

// Records the operators that the current thread runs while this object exists.
class Watcher {
 public:
  explicit Watcher(const Classifier& model) {
    for (const NamedTensor& parameter : model.parameters()) {
      layers_[parameter.tensor.unsafeGetTensorImpl()] = LayerOf(parameter.name);
    }
    current_ = this;
    handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(&Begin, &End)
                                             .needsInputs(true)
                                             .needsOutputs(true)
                                             .scopes({at::RecordScope::FUNCTION}));
  }
  ~Watcher() {
    at::removeCallback(handle_);
    current_ = nullptr;
  }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Returns the layers in the order in which the first operator of each ended.
  std::vector<LayerSummary> Take() { return std::move(seen_); }

 private:
  // The layer of a running operator: Begin() sets it, and End() adds it to the summary.
  struct Running : public at::ObserverContext {
    std::string layer;
    int64_t products = 0;  // multiply-adds for each element of the result
    bool is_attention = false;
  };

  static std::unique_ptr<at::ObserverContext> Begin(const at::RecordFunction& function) {
    const absl::string_view name = function.name();
    auto running = std::make_unique<Running>();
    for (const c10::IValue& input : function.inputs()) {
      if (!input.isTensor() || !input.toTensor().defined()) continue;
      const at::Tensor& tensor = input.toTensor();
      const auto layer = current_->layers_.find(tensor.unsafeGetTensorImpl());
      if (layer == current_->layers_.end()) continue;
      running->layer = layer->second;
      // The weight is [out, ...], so each output element takes numel / out multiply-adds.
      const bool multiplies = name == "aten::conv2d" || name == "aten::linear";
      if (multiplies && tensor.dim() > 1) running->products = tensor.numel() / tensor.size(0);
    }
    // Attention reads no parameter. It counts to the layer before it, which computes its queries,
    // keys [N, heads, T, d] and values. Each element of its result takes T multiply-adds for the
    // products of queries and keys, and T for the sum of the values.
    if (name == "aten::scaled_dot_product_attention" && !current_->seen_.empty()) {
      running->layer = current_->seen_.back().name;
      running->products = 2 * function.inputs()[1].toTensor().size(2);
      running->is_attention = true;
    }
    return running;
  }

  static void End(const at::RecordFunction& function, at::ObserverContext* context) {
    const auto* const running = static_cast<Running*>(context);
    if (running == nullptr || running->layer.empty() || function.outputs().empty()) return;
    const c10::IValue& output = function.outputs().front();
    if (!output.isTensor() || !output.toTensor().defined()) return;
    std::vector<LayerSummary>& seen = current_->seen_;
    auto layer = std::find_if(seen.begin(), seen.end(), [&](const LayerSummary& summary) {
      return summary.name == running->layer;
    });
    if (layer == seen.end()) {
      layer = seen.emplace(seen.end());
      layer->name = running->layer;
    }
    layer->multiply_adds += running->products * output.toTensor().numel();
    if (running->is_attention) return;
    // The outermost operator, which ends last, has the layer's result. Operators called inside it
    // may have results of another shape.
    layer->output = output.toTensor().sizes().slice(1).vec();
  }

  static thread_local Watcher* current_;
  std::map<const at::TensorImpl*, std::string> layers_;
  std::vector<LayerSummary> seen_;
  at::CallbackHandle handle_ = 0;
};

thread_local Watcher* Watcher::current_ = nullptr;

std::string Count(int64_t number) {
  return number >= 10'000'000  ? absl::StrFormat("%.1f M", static_cast<double>(number) / 1e6)
         : number >= 1'000'000 ? absl::StrFormat("%.2f M", static_cast<double>(number) / 1e6)
                               : absl::StrCat(number);
}

std::string Training(const LayerSummary& layer) {
  if (layer.trained == layer.parameters) return "trained";
  return layer.trained == 0 ? "frozen" : "in part";
}

void AppendRow(const std::string& name, const LayerSummary& layer, std::string* table) {
  absl::StrAppendFormat(table, "%-40s %16s %12s %14s  %s\n", name, absl::StrJoin(layer.output, "x"),
                        Count(layer.parameters), Count(layer.multiply_adds), Training(layer));
}

}  // namespace

absl::StatusOr<std::vector<LayerSummary>> SummarizeLayers(const ModelConfig& config,
                                                          const PreparedShape& shape) {
  ClassifierOptions options;
  // Fused operators would combine several layers in one operator.
  options.mode.fused = false;
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<Classifier> model, Classifier::Create(config, options));
  FT_RETURN_IF_ERROR(Annotate(model->CheckInput(shape.channels, shape.height, shape.width),
                              "data.train.pipeline"));
  std::vector<LayerSummary> layers;
  {
    Watcher watcher(*model);
    model->Forward(at::zeros({1, shape.channels, shape.height, shape.width}), ForwardContext());
    layers = watcher.Take();
  }
  for (const NamedTensor& parameter : model->parameters()) {
    for (LayerSummary& layer : layers) {
      if (layer.name != LayerOf(parameter.name)) continue;
      layer.parameters += parameter.tensor.numel();
      if (parameter.tensor.requires_grad()) layer.trained += parameter.tensor.numel();
    }
  }
  return layers;
}

std::vector<LayerSummary> GroupLayers(const std::vector<LayerSummary>& layers, int depth) {
  std::vector<LayerSummary> groups;
  for (const LayerSummary& layer : layers) {
    std::vector<std::string> parts = absl::StrSplit(layer.name, '.');
    if (depth > 0 && parts.size() > static_cast<size_t>(depth)) parts.resize(depth);
    const std::string name = absl::StrJoin(parts, ".");
    if (groups.empty() || groups.back().name != name) {
      groups.emplace_back();
      groups.back().name = name;
    }
    LayerSummary& group = groups.back();
    group.output = layer.output;
    group.parameters += layer.parameters;
    group.trained += layer.trained;
    group.multiply_adds += layer.multiply_adds;
  }
  return groups;
}

absl::StatusOr<std::string> Summarize(const LoadedConfig& loaded, const SummaryFlags& flags) {
  const ExperimentConfig& config = loaded.config;
  FT_ASSIGN_OR_RETURN(const TrainingData data, FindTrainingData(loaded, /*images=*/0));
  FT_ASSIGN_OR_RETURN(const std::vector<LayerSummary> layers,
                      SummarizeLayers(config.model(), data.shape));
  std::string text = absl::StrFormat("%s, one image of %dx%dx%d%s\n\n", loaded.file,
                                     data.shape.channels, data.shape.height, data.shape.width,
                                     data.note.empty() ? "" : absl::StrCat("; ", data.note));
  absl::StrAppendFormat(&text, "%-40s %16s %12s %14s\n", "layer", "output", "parameters",
                        "multiply-adds");
  LayerSummary total;
  for (const LayerSummary& layer : GroupLayers(layers, flags.depth)) {
    AppendRow(layer.name, layer, &text);
    total.parameters += layer.parameters;
    total.trained += layer.trained;
    total.multiply_adds += layer.multiply_adds;
  }
  AppendRow("all", total, &text);

  // The training step knows the number of optimizer state tensors per parameter.
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<Classifier> model,
                      Classifier::Create(config.model(), ClassifierOptions()));
  SingleCommunicator comm;
  FT_ASSIGN_OR_RETURN(const std::unique_ptr<TrainingStep> step,
                      TrainingStep::Create(config, at::kCPU, model.get(), &comm));
  // The optimizer's state and the averaged weights.
  int64_t state = 0;
  for (const NamedTensor& tensor : step->optimizer().State()) state += tensor.tensor.nbytes();
  if (const auto* average = step->average()) {
    for (const at::Tensor& tensor : average->averages()) state += tensor.nbytes();
  }
  absl::StrAppendFormat(
      &text, "\n%s of %s parameters are trained (%.1f %%)\n", Count(total.trained),
      Count(total.parameters),
      100 * static_cast<double>(total.trained) / static_cast<double>(total.parameters));
  absl::StrAppendFormat(
      &text, "memory: parameters %.1f MiB, gradients %.1f MiB, optimizer %.1f MiB\n",
      4 * static_cast<double>(total.parameters) / kMebibyte,
      4 * static_cast<double>(total.trained) / kMebibyte, static_cast<double>(state) / kMebibyte);
  if (!flags.memory) return text;
  FT_ASSIGN_OR_RETURN(const RankMemory memory, PredictRankMemory(config, data.shape, /*ranks=*/1));
  absl::StrAppendFormat(&text,
                        "memory of one rank that trains with passes of %d images: %.0f MiB, the "
                        "program's own included\n",
                        memory.pass, memory.bytes / kMebibyte);
  return text;
}

}  // namespace finetune
