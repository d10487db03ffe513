#include "src/export/onnx_file.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/version.h"
#include "src/export/trace.h"
#include "src/export/weight_type.h"

namespace finetune {
namespace {

// The most bytes of weights in one file: protobuf's limit for a message, 2 GiB, less 16 MiB for the
// graph itself.
constexpr uint64_t kLargestWeights = (uint64_t{1} << 31) - (uint64_t{1} << 24);

// ONNX's file format version ("IR version") for each opset from kOldestOpset on: the version that
// was released with the opset, so that a program that knows the opset can read the file.
constexpr std::array<int, kNewestOpset - kOldestOpset + 1> kFormats = {8,  9,  9,  10, 10, 11,
                                                                       12, 13, 13, 13, 14};

onnx::TensorProto::DataType TypeOf(at::ScalarType type) {
  switch (type) {
    case at::kHalf:
      return onnx::TensorProto::FLOAT16;
    case at::kBFloat16:
      return onnx::TensorProto::BFLOAT16;
    case at::kLong:
      return onnx::TensorProto::INT64;
    default:
      return onnx::TensorProto::FLOAT;
  }
}

// Returns the shape of a value for one image, without the batch dimension.
std::vector<int64_t> ShapeOf(const onnx::ValueInfoProto& value) {
  std::vector<int64_t> shape;
  for (const auto& dim : value.type().tensor_type().shape().dim()) {
    if (dim.has_dim_value()) shape.push_back(dim.dim_value());
  }
  return shape;
}

// Moves the node at index `first` and all nodes after it to the front of the graph.
void MoveToFront(int first, onnx::GraphProto* proto) {
  auto* const nodes = proto->mutable_node();
  std::rotate(nodes->pointer_begin(), nodes->pointer_begin() + first, nodes->pointer_end());
}

// Puts the pipeline's normalize step in front of the network. The network's input becomes uint8, in
// the layout that `input` says.
void AddPreprocessing(OnnxInput input, const Normalize& normalize, Graph* graph) {
  const onnx::ValueInfoProto prepared = graph->proto.input(0);
  const std::vector<int64_t> shape = ShapeOf(prepared);
  graph->proto.clear_input();
  const int first = graph->proto.node_size();
  const bool last = input == OnnxInput::kNhwc;
  std::string value =
      graph->AddInput("pixels", onnx::TensorProto::UINT8,
                      last ? std::vector<int64_t>{shape[1], shape[2], shape[0]} : shape);
  const auto of_channels = [&](const char* name, const std::array<float, 3>& numbers) {
    std::vector<float> channels(numbers.begin(), numbers.begin() + shape[0]);
    return graph->AddConstant(name, at::tensor(channels).view({-1, 1, 1}));
  };
  value = graph->AddNode("Cast", "to_float", {value}, {{"to", int64_t{onnx::TensorProto::FLOAT}}},
                         last ? std::vector<int64_t>{shape[1], shape[2], shape[0]} : shape);
  if (last) {
    value = graph->AddNode("Transpose", "to_nchw", {value},
                           {{"perm", std::vector<int64_t>{0, 3, 1, 2}}}, shape);
  }
  value = graph->AddNode("Mul", "scale", {value, of_channels("normalize.scale", normalize.scale())},
                         {}, shape);
  value = graph->AddNode("Add", "shift", {value, of_channels("normalize.shift", normalize.shift())},
                         {}, shape);
  graph->Replace(prepared.name(), value);
  MoveToFront(first, &graph->proto);
}

// Converts the weights to `type` and adds a Cast node for each that converts it back to float32.
// Errors: those of AsWeightType().
absl::Status ConvertWeights(at::ScalarType type, Graph* graph) {
  const int first = graph->proto.node_size();
  const std::map<std::string, at::Tensor> constants = graph->constants;
  for (const auto& [name, constant] : constants) {
    FT_ASSIGN_OR_RETURN(at::Tensor converted, AsWeightType(name, constant, type));
    if (converted.scalar_type() != constant.scalar_type()) {
      const std::string wide =
          graph->AddNode("Cast", name + ".float32", {}, {{"to", int64_t{onnx::TensorProto::FLOAT}}},
                         constant.sizes().slice(1).vec());
      // AddNode() makes the first dimension the batch, but a weight has none.
      graph->proto.mutable_value_info()
          ->rbegin()
          ->mutable_type()
          ->mutable_tensor_type()
          ->mutable_shape()
          ->mutable_dim(0)
          ->set_dim_value(constant.size(0));
      graph->Replace(name, wide);
      graph->ProducerOf(wide)->add_input(name);
    }
    graph->constants[name] = std::move(converted);
  }
  MoveToFront(first, &graph->proto);
  return absl::OkStatus();
}

absl::Status AddInitializers(const Graph& graph, onnx::GraphProto* proto) {
  uint64_t bytes = 0;
  for (const auto& [name, constant] : graph.constants) bytes += constant.nbytes();
  if (bytes > kLargestWeights) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "the network's weights take %d MiB, and an ONNX file holds less than 2048 MiB; give "
        "--dtype=float16, or export to .safetensors",
        bytes >> 20));
  }
  for (const auto& [name, constant] : graph.constants) {
    const at::Tensor value = constant.contiguous();
    onnx::TensorProto* const tensor = proto->add_initializer();
    tensor->set_name(name);
    tensor->set_data_type(TypeOf(value.scalar_type()));
    for (const int64_t extent : value.sizes()) tensor->add_dims(extent);
    tensor->set_raw_data(value.const_data_ptr(), value.nbytes());
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<onnx::ModelProto> MakeOnnxModel(
    Graph graph, const OnnxOptions& options, const Normalize& normalize,
    const std::vector<std::pair<std::string, std::string>>& metadata) {
  if (options.fold_batch_norm) FoldBatchNorms(&graph);
  graph.RemoveUnread();
  if (options.weights != at::kFloat) FT_RETURN_IF_ERROR(ConvertWeights(options.weights, &graph));
  if (options.input != OnnxInput::kPrepared) {
    AddPreprocessing(options.input, normalize, &graph);
  }
  if (options.softmax) {
    const onnx::ValueInfoProto logits = graph.proto.output(0);
    graph.SetOutput(graph.AddNode("Softmax", "softmax", {logits.name()}, {{"axis", int64_t{1}}},
                                  ShapeOf(logits)),
                    kProbabilities);
  }
  FT_RETURN_IF_ERROR(CheckGraph(graph));

  onnx::ModelProto model;
  model.set_ir_version(kFormats[static_cast<size_t>(options.opset - kOldestOpset)]);
  model.set_producer_name("finetune");
  model.set_producer_version(kFinetuneVersion);
  model.add_opset_import()->set_version(options.opset);
  for (const auto& [key, value] : metadata) {
    onnx::StringStringEntryProto* const entry = model.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
  *model.mutable_graph() = std::move(graph.proto);
  FT_RETURN_IF_ERROR(AddInitializers(graph, model.mutable_graph()));
  return model;
}

}  // namespace finetune
