#ifndef FINETUNE_PLAN_SUMMARY_H_
#define FINETUNE_PLAN_SUMMARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/plan/measure.h"

namespace finetune {

// A layer with parameters, or several such layers as one.
struct LayerSummary {
  std::string name;  // the common start of its tensors' names: "backbone.layer1.0.conv1"
  // The shape of the layer's output for one image: [channels, height, width] or [features].
  std::vector<int64_t> output;
  int64_t parameters = 0;
  int64_t trained = 0;  // those of `parameters` that are trained
  // The multiply-adds in a forward pass of one image. Only convolutions and linear layers are
  // counted, as usual.
  int64_t multiply_adds = 0;
};

// Returns the layers of the config's model in the order in which they run, found by passing one
// image of `shape` through the model. Errors: InvalidArgument for a model that cannot be created,
// or images that the model does not take.
absl::StatusOr<std::vector<LayerSummary>> SummarizeLayers(const ModelConfig& config,
                                                          const PreparedShape& shape);

// Merges consecutive layers whose names agree in their first `depth` parts into one. The output of
// a merged layer is that of its last layer.
std::vector<LayerSummary> GroupLayers(const std::vector<LayerSummary>& layers, int depth);

struct SummaryFlags {
  // The number of parts of a layer's name ("backbone.layer1" has two) that are shown, with layers
  // of the same name merged; 0: all.
  int depth = 2;
  // Whether to train a few iterations to measure the memory.
  bool memory = true;
};

// Returns what `finetune summary` prints: a table of layers, their totals, and the memory of one
// rank. Errors: those of FindTrainingData() and MeasureStep().
absl::StatusOr<std::string> Summarize(const LoadedConfig& loaded, const SummaryFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_PLAN_SUMMARY_H_
