#include "src/export/graph.h"

#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace finetune {
namespace {

void SetType(onnx::TensorProto::DataType type, const std::vector<int64_t>& shape,
             onnx::ValueInfoProto* value) {
  onnx::TypeProto::Tensor* const tensor = value->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape()->add_dim()->set_dim_param(kBatch);
  for (const int64_t extent : shape) tensor->mutable_shape()->add_dim()->set_dim_value(extent);
}

const onnx::AttributeProto* Find(const onnx::NodeProto& node, const std::string& name) {
  for (const onnx::AttributeProto& attribute : node.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

onnx::AttributeProto* Find(onnx::NodeProto* node, const std::string& name) {
  return const_cast<onnx::AttributeProto*>(Find(std::as_const(*node), name));
}

}  // namespace

std::string Graph::Unique(const std::string& name) {
  std::string unique = name;
  for (int i = 1; !names_.insert(unique).second; ++i) unique = absl::StrCat(name, "_", i);
  return unique;
}

std::string Graph::AddInput(const std::string& name, onnx::TensorProto::DataType type,
                            const std::vector<int64_t>& shape) {
  onnx::ValueInfoProto* const input = proto.add_input();
  input->set_name(Unique(name));
  SetType(type, shape, input);
  return input->name();
}

std::string Graph::AddNode(const std::string& op, const std::string& name,
                           const std::vector<std::string>& inputs,
                           const std::vector<Attribute>& attributes,
                           const std::vector<int64_t>& shape) {
  onnx::NodeProto* const node = proto.add_node();
  node->set_op_type(op);
  node->set_name(Unique(name));
  for (const std::string& input : inputs) node->add_input(input);
  for (const auto& [key, value] : attributes) {
    onnx::AttributeProto* const attribute = node->add_attribute();
    attribute->set_name(key);
    if (const int64_t* const whole = std::get_if<int64_t>(&value)) {
      attribute->set_type(onnx::AttributeProto::INT);
      attribute->set_i(*whole);
    } else if (const float* const number = std::get_if<float>(&value)) {
      attribute->set_type(onnx::AttributeProto::FLOAT);
      attribute->set_f(*number);
    } else {
      attribute->set_type(onnx::AttributeProto::INTS);
      for (const int64_t i : std::get<std::vector<int64_t>>(value)) attribute->add_ints(i);
    }
  }
  onnx::ValueInfoProto* const output = proto.add_value_info();
  output->set_name(Unique(node->name() + ".output"));
  SetType(onnx::TensorProto::FLOAT, shape, output);
  node->add_output(output->name());
  return output->name();
}

std::string Graph::AddConstant(const std::string& name, at::Tensor value) {
  std::string unique = Unique(name);
  constants[unique] = std::move(value);
  return unique;
}

std::string Graph::AddScalar(double value) {
  const auto [found, is_new] = scalars_.try_emplace(value);
  if (is_new) {
    found->second =
        AddConstant(absl::StrFormat("scalar_%g", value), at::scalar_tensor(value, at::kFloat));
  }
  return found->second;
}

void Graph::SetOutput(const std::string& value, const std::string& name) {
  auto* const values = proto.mutable_value_info();
  const auto found = std::find_if(values->begin(), values->end(),
                                  [&](const auto& info) { return info.name() == value; });
  onnx::ValueInfoProto output = *found;
  values->erase(found);
  for (const onnx::ValueInfoProto& before : proto.output()) *proto.add_value_info() = before;
  proto.clear_output();
  output.set_name(Unique(name));
  Replace(value, output.name());
  ProducerOf(value)->set_output(0, output.name());
  *proto.add_output() = std::move(output);
}

void Graph::Replace(const std::string& name, const std::string& other) {
  for (onnx::NodeProto& node : *proto.mutable_node()) {
    for (std::string& input : *node.mutable_input()) {
      if (input == name) input = other;
    }
  }
  for (onnx::ValueInfoProto& output : *proto.mutable_output()) {
    if (output.name() == name) output.set_name(other);
  }
}

void Graph::RemoveUnread() {
  std::set<std::string> read;
  for (const onnx::ValueInfoProto& output : proto.output()) read.insert(output.name());
  std::vector<onnx::NodeProto> kept;
  for (int i = proto.node_size(); i-- > 0;) {
    if (!read.contains(proto.node(i).output(0))) continue;
    read.insert(proto.node(i).input().begin(), proto.node(i).input().end());
    kept.push_back(std::move(*proto.mutable_node(i)));
  }
  proto.clear_node();
  std::set<std::string> made;
  for (auto node = kept.rbegin(); node != kept.rend(); ++node) {
    made.insert(node->output(0));
    *proto.add_node() = std::move(*node);
  }
  auto* const values = proto.mutable_value_info();
  values->erase(std::remove_if(values->begin(), values->end(),
                               [&](const auto& value) { return !made.contains(value.name()); }),
                values->end());
  std::erase_if(constants, [&](const auto& constant) { return !read.contains(constant.first); });
}

onnx::NodeProto* Graph::ProducerOf(const std::string& value) {
  for (onnx::NodeProto& node : *proto.mutable_node()) {
    if (node.output(0) == value) return &node;
  }
  return nullptr;
}

int Graph::ReadersOf(const std::string& value) const {
  int readers = 0;
  for (const onnx::NodeProto& node : proto.node()) {
    readers += static_cast<int>(std::count(node.input().begin(), node.input().end(), value));
  }
  for (const onnx::ValueInfoProto& output : proto.output()) readers += output.name() == value;
  return readers;
}

absl::Status CheckGraph(const Graph& graph) {
  std::set<std::string> values, nodes, shaped;
  const auto fail = [](const std::string& name, const char* wrong) {
    return absl::InternalError(absl::StrCat("the ONNX graph is wrong: ", name, " ", wrong));
  };
  for (const auto& [name, constant] : graph.constants) values.insert(name);
  for (const onnx::ValueInfoProto& input : graph.proto.input()) {
    if (!values.insert(input.name()).second) return fail(input.name(), "names two values");
  }
  for (const onnx::ValueInfoProto& value : graph.proto.value_info()) shaped.insert(value.name());
  for (const onnx::ValueInfoProto& output : graph.proto.output()) shaped.insert(output.name());
  for (const onnx::NodeProto& node : graph.proto.node()) {
    if (!nodes.insert(node.name()).second) return fail(node.name(), "names two nodes");
    for (const std::string& input : node.input()) {
      if (!input.empty() && !values.contains(input)) {
        return fail(input, "is read before it is there");
      }
    }
    if (!values.insert(node.output(0)).second) return fail(node.output(0), "names two values");
    if (!shaped.contains(node.output(0))) return fail(node.output(0), "has no shape");
  }
  for (const onnx::ValueInfoProto& output : graph.proto.output()) {
    if (!values.contains(output.name())) return fail(output.name(), "is returned and not there");
  }
  if (graph.proto.output_size() != 1) return fail("the graph", "does not have one output");
  return absl::OkStatus();
}

void MergePadding(Graph* graph) {
  for (onnx::NodeProto& conv : *graph->proto.mutable_node()) {
    if (conv.op_type() != "Conv") continue;
    const onnx::NodeProto* const pad = graph->ProducerOf(conv.input(0));
    if (pad == nullptr || pad->op_type() != "Pad" || graph->ReadersOf(pad->output(0)) != 1) {
      continue;
    }
    const at::Tensor zero = graph->constants.at(pad->input(2));
    const at::Tensor sides = graph->constants.at(pad->input(1));
    // `sides` is [N, C, H, W] before, then [N, C, H, W] after. Only H and W may be padded.
    if (sides.numel() != 8 || zero.item<float>() != 0) continue;
    const int64_t* const side = sides.const_data_ptr<int64_t>();
    if (side[0] != 0 || side[1] != 0 || side[4] != 0 || side[5] != 0) continue;
    onnx::AttributeProto* const pads = Find(&conv, "pads");
    for (int i = 0; i < 4; ++i) {
      pads->set_ints(i, pads->ints(i) + side[i < 2 ? 2 + i : 4 + i]);
    }
    conv.set_input(0, pad->input(0));
  }
  graph->RemoveUnread();
}

int FoldBatchNorms(Graph* graph) {
  int folded = 0;
  for (onnx::NodeProto& norm : *graph->proto.mutable_node()) {
    if (norm.op_type() != "BatchNormalization") continue;
    onnx::NodeProto* const conv = graph->ProducerOf(norm.input(0));
    if (conv == nullptr || conv->op_type() != "Conv" || graph->ReadersOf(conv->output(0)) != 1 ||
        graph->ReadersOf(conv->input(1)) != 1) {
      continue;
    }
    const auto constant = [&](const std::string& name) {
      return graph->constants.at(name).detach().to(at::kDouble);
    };
    const at::Tensor gamma = constant(norm.input(1)), beta = constant(norm.input(2)),
                     mean = constant(norm.input(3)), variance = constant(norm.input(4));
    const double epsilon = Find(norm, "epsilon")->f();
    const at::Tensor scale = at::rsqrt(variance.add(epsilon)).mul(gamma);
    const at::Tensor weight = constant(conv->input(1));
    const at::Tensor bias = conv->input_size() > 2 ? constant(conv->input(2))
                                                   : at::zeros({weight.size(0)}, at::kDouble);
    graph->constants[conv->input(1)] = weight.mul(scale.view({-1, 1, 1, 1})).to(at::kFloat);
    const std::string shift = graph->AddConstant(
        conv->name() + ".folded_bias", beta.add(bias.sub(mean).mul(scale)).to(at::kFloat));
    if (conv->input_size() > 2) {
      conv->set_input(2, shift);
    } else {
      conv->add_input(shift);
    }
    // Nodes that read the batch norm now read the convolution, and nothing reads the batch norm.
    // The order of the nodes stays valid, because the convolution runs before the batch norm.
    graph->Replace(norm.output(0), conv->output(0));
    ++folded;
  }
  graph->RemoveUnread();
  return folded;
}

}  // namespace finetune
