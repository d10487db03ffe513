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

// An attribute of an ONNX node: an integer, a float, or a list of integers.
struct Attribute {
  std::string name;
  std::variant<int64_t, float, std::vector<int64_t>> value;
};

// A network as an ONNX graph that is still being built. A value is a named tensor: an input of the
// graph, the output of a node, or a constant. The first dimension of inputs and node outputs is
// the batch; its size is symbolic (kBatch). Constants have no batch dimension.
class Graph {
 public:
  // Adds an input of the graph and returns its name. `shape`: of one image, without the batch
  // dimension.
  std::string AddInput(const std::string& name, onnx::TensorProto::DataType type,
                       const std::vector<int64_t>& shape);

  // Appends a node with one float32 output and returns the output's name. `name`: of the node; a
  // number is appended if a node or value already has this name. `inputs`: names of values; "" for
  // an optional input that is left out. `shape`: of the output for one image, without the batch
  // dimension.
  std::string AddNode(const std::string& op, const std::string& name,
                      const std::vector<std::string>& inputs,
                      const std::vector<Attribute>& attributes, const std::vector<int64_t>& shape);

  // Adds a constant and returns its name. The name is `name`, with a number appended if a node or
  // value already has this name. `value`: float32 or int64.
  std::string AddConstant(const std::string& name, at::Tensor value);
  // Adds a float32 constant with no dimensions and returns its name. Equal numbers share one
  // constant.
  std::string AddScalar(double value);

  // Makes the node output `value` the output of the graph and renames it to `name`. An earlier
  // output of the graph becomes an ordinary value.
  void SetOutput(const std::string& value, const std::string& name);

  // Replaces the value `name` by the value `other` in every node's inputs and in the graph's
  // output.
  void Replace(const std::string& name, const std::string& other);
  // Removes the nodes and constants on which the graph's output does not depend.
  void RemoveUnread();
  // Returns the node whose output is `value`; null if `value` is an input of the graph or a
  // constant.
  onnx::NodeProto* ProducerOf(const std::string& value);
  // Returns how often `value` occurs in the inputs of nodes and as the graph's output.
  int ReadersOf(const std::string& value) const;

  // The graph without its constants: the nodes in the order in which they run, the inputs, the
  // output, and the shape of every node output.
  onnx::GraphProto proto;
  // The constants by name; float32 or int64.
  std::map<std::string, at::Tensor> constants;

 private:
  std::string Unique(const std::string& name);

  std::set<std::string> names_;
  std::map<double, std::string> scalars_;
};

// The name of the batch dimension in the file, whose size is the number of images.
inline constexpr char kBatch[] = "N";

// Checks that names are unique, that each node reads only inputs, constants and outputs of earlier
// nodes, that the graph has exactly one output, which exists, and that every node output has a
// shape. Errors: Internal if one of these does not hold.
absl::Status CheckGraph(const Graph& graph);

// Removes each Pad node that pads height and width with zeros and whose only reader is a
// convolution. The convolution gets the padding as its own.
void MergePadding(Graph* graph);

// Folds each batch norm that is the only reader of a convolution's output into the convolution's
// weight and bias: w' = w * gamma / sqrt(var + epsilon) and
// b' = beta + (b - mean) * gamma / sqrt(var + epsilon), computed in float64. A convolution whose
// weight or result another node reads too, and a batch norm that does not follow a convolution, are
// left alone. Returns the number of folded batch norms.
int FoldBatchNorms(Graph* graph);

}  // namespace finetune

#endif  // FINETUNE_EXPORT_GRAPH_H_
