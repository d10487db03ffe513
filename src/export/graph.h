#ifndef FINETUNE_EXPORT_GRAPH_H_
#define FINETUNE_EXPORT_GRAPH_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "third_party/onnx/onnx.pb.h"

namespace finetune {

// An attribute of an ONNX node: a whole number, a number, or a list of whole numbers.
struct Attribute {
  std::string name;
  std::variant<int64_t, float, std::vector<int64_t>> value;
};

// A network as an ONNX graph that is still being built. A value is a tensor by its name: an input
// of the graph, the output of a node, or a constant. Every value but the constants has the batch as
// its first extent, which the file leaves open under the name "N".
class Graph {
 public:
  // Adds an input of the graph. `shape`: for one image, without the batch. Returns its name.
  std::string AddInput(const std::string& name, onnx::TensorProto::DataType type,
                       const std::vector<int64_t>& shape);

  // Appends a node with one output, of type float32. `name`: names the node, with a number behind
  // it where another node has the name. `inputs`: names of values; "" for one that is left out.
  // `shape`: of the output for one image. Returns the output's name.
  std::string AddNode(const std::string& op, const std::string& name,
                      const std::vector<std::string>& inputs,
                      const std::vector<Attribute>& attributes, const std::vector<int64_t>& shape);

  // Adds a constant under `name`, with a number behind it where another value has the name. Returns
  // its name.
  std::string AddConstant(const std::string& name, at::Tensor value);
  // The same for a number; equal numbers share a constant.
  std::string AddScalar(double value);

  // Makes a node's output the one that the graph returns, under `name`. The output of before
  // becomes a value like others.
  void SetOutput(const std::string& value, const std::string& name);

  // Puts `other` in the place of the value `name` wherever a node reads it or the graph returns it.
  void Replace(const std::string& name, const std::string& other);
  // Removes nodes and constants that nothing reads.
  void RemoveUnread();
  // The node whose output is this value; null for inputs and constants.
  onnx::NodeProto* ProducerOf(const std::string& value);
  // The number of times that nodes and the graph's output read this value.
  int ReadersOf(const std::string& value) const;

  // Nodes in the order in which they run, inputs, the output and the shapes of all values, without
  // the constants.
  onnx::GraphProto proto;
  // float32 or int64.
  std::map<std::string, at::Tensor> constants;

 private:
  std::string Unique(const std::string& name);

  std::set<std::string> names_;
  std::map<double, std::string> scalars_;
};

// The name that the file has for the number of images.
inline constexpr char kBatch[] = "N";

// Checks that names are unique, that each node reads only what is there before it, that the output
// exists, and that every value has a shape. Errors: Internal.
absl::Status CheckGraph(const Graph& graph);

// Moves zeros that a Pad node adds around maps into the convolution that alone reads them.
void MergePadding(Graph* graph);

// Folds each batch norm that alone reads a convolution into that convolution's weight and bias:
// w' = w * gamma / sqrt(var + epsilon), b' = beta + (b - mean) * gamma / sqrt(var + epsilon), in
// float64. Returns the number of batch norms that were folded.
int FoldBatchNorms(Graph* graph);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_GRAPH_H_
