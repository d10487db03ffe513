#ifndef FINETUNE_EXPORT_ONNX_FILE_H_
#define FINETUNE_EXPORT_ONNX_FILE_H_

#include <ATen/core/ScalarType.h>

#include <string>
#include <utility>
#include <vector>

#include "src/base/status_macros.h"
#include "src/data/transforms/normalize.h"
#include "src/export/graph.h"
#include "third_party/onnx/onnx.pb.h"

namespace finetune {

// The versions of ONNX's operator set ("opsets") that can be exported. onnxruntime 1.32 runs opsets
// up to the newest one. The oldest one is the first that has all operators of operators.cc.
inline constexpr int kNewestOpset = 28;
inline constexpr int kOldestOpset = 18;

// The type and layout of the images that an exported network takes.
enum class OnnxInput {
  kPrepared,  // float32 [N, C, H, W]: the output of the whole pipeline
  kNchw,      // uint8 [N, C, H, W]: the network normalizes the images itself
  kNhwc,      // uint8 [N, H, W, C]: the network normalizes the images itself
};

struct OnnxOptions {
  OnnxInput input = OnnxInput::kPrepared;
  bool fold_batch_norm = false;  // whether FoldBatchNorms() is called
  // Whether the output is the probability of each class instead of the logits.
  bool softmax = false;
  // The type of the weights in the file: kFloat, kHalf or kBFloat16. A Cast node converts each
  // weight back to float32, so that all arithmetic is float32.
  at::ScalarType weights = at::kFloat;
  int opset = kNewestOpset;  // from kOldestOpset to kNewestOpset
};

// Applies the options to a graph of TraceGraph() and returns the ONNX model. `normalize`: the
// pipeline's last step; read only if the network takes uint8 images. `metadata`: becomes the
// model's metadata_props. Errors: InvalidArgument for a weight that `options.weights` cannot hold,
// and for a network that is too large for one file; Internal if the graph is wrong.
absl::StatusOr<onnx::ModelProto> MakeOnnxModel(
    Graph graph, const OnnxOptions& options, const Normalize& normalize,
    const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_ONNX_FILE_H_
