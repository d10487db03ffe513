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

// The newest version of ONNX's operators that onnxruntime 1.32 runs, and the oldest one that has
// all operators of operators.cc.
inline constexpr int kNewestOpset = 28;
inline constexpr int kOldestOpset = 18;

// The images that an exported network takes.
enum class OnnxInput {
  kPrepared,  // float32 [N, C, H, W], as the pipeline prepares them
  kNchw,      // uint8 [N, C, H, W], before the pipeline's normalize
  kNhwc,      // uint8 [N, H, W, C], before the pipeline's normalize
};

struct OnnxOptions {
  OnnxInput input = OnnxInput::kPrepared;
  bool fold_batch_norm = false;
  // The output is the classes' probabilities, not the logits.
  bool softmax = false;
  // The type of weights in the file: kFloat, kHalf or kBFloat16. A node makes float32 of each when
  // the file is loaded, so that all arithmetic is float32.
  at::ScalarType weights = at::kFloat;
  int opset = kNewestOpset;
};

// Finishes a graph of TraceGraph(). `normalize`: that of the pipeline; read only where the images
// are uint8. `metadata`: becomes the model's metadata_props. Errors: InvalidArgument for weights
// that the type cannot hold, and for a network that is too large for one file.
absl::StatusOr<onnx::ModelProto> MakeOnnxModel(
    Graph graph, const OnnxOptions& options, const Normalize& normalize,
    const std::vector<std::pair<std::string, std::string>>& metadata);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_ONNX_FILE_H_
