#ifndef FINETUNE_EXPORT_TRACE_H_
#define FINETUNE_EXPORT_TRACE_H_

#include <cstdint>
#include <vector>

#include "src/base/status_macros.h"
#include "src/export/graph.h"
#include "src/model/classifier.h"

namespace finetune {

// The names of the graph's input and output.
inline constexpr char kImages[] = "images";
inline constexpr char kLogits[] = "logits";
// The output of a graph that ends in a softmax.
inline constexpr char kProbabilities[] = "probabilities";

// Returns the graph of a model's forward pass in evaluation mode. Its input is kImages, float32
// [N, channels, height, width]; its output is kLogits, float32 [N, classes]. A node that reads
// parameters has the name of their layer. `model`: in float32, on the CPU, with LibTorch's plain
// operators (ForwardMode). `image`: {channels, height, width}. Errors: InvalidArgument for images
// that the model does not take; Unimplemented for an operator that operators.cc cannot translate.
absl::StatusOr<Graph> TraceGraph(Classifier* model, const std::vector<int64_t>& image);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_TRACE_H_
