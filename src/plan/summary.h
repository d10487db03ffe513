#ifndef FINETUNE_PLAN_SUMMARY_H_
#define FINETUNE_PLAN_SUMMARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/config/config.h"
#include "src/plan/measure.h"

namespace finetune {

// A layer with parameters, or several.
struct LayerSummary {
  std::string name;  // of its tensors, without the last part: "backbone.layer1.0.conv1"
  // Of the result for one image, without the batch's dimension: [channels, height, width] or
  // [features].
  std::vector<int64_t> output;
  int64_t parameters = 0;
  int64_t trained = 0;  // of them
  // Of a forward pass of one image: products in convolutions and linear layers. Other layers count
  // nothing, as usual.
  int64_t multiply_adds = 0;
};

// The layers of the config's model in the order in which they run, from one pass of an image of
// `shape` through it. Errors: InvalidArgument for a model that cannot be made, or images that it
// does not take.
absl::StatusOr<std::vector<LayerSummary>> SummarizeLayers(const ModelConfig& config,
                                                          const PictureShape& shape);

// Layers whose names agree in their first `depth` parts become one, where they follow each other.
// Its output is the last one's.
std::vector<LayerSummary> GroupLayers(const std::vector<LayerSummary>& layers, int depth);

struct SummaryFlags {
  // Parts of a layer's name that are shown; 0: all.
  int depth = 2;
  // Whether to train a few iterations to measure the memory.
  bool memory = true;
};

// Returns what `finetune summary` prints: a table of layers, their totals, and the memory of one
// rank. Errors: those of FindTrainingData() and MeasureStep().
absl::StatusOr<std::string> Summarize(const LoadedConfig& loaded, const SummaryFlags& flags);

}  // namespace finetune

#endif  // FINETUNE_PLAN_SUMMARY_H_
