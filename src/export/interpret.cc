#include "src/export/interpret.h"

#include <ATen/ATen.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace finetune {
namespace {

at::ScalarType TypeOf(int type) {
  switch (type) {
    case onnx::TensorProto::FLOAT:
      return at::kFloat;
    case onnx::TensorProto::FLOAT16:
      return at::kHalf;
    case onnx::TensorProto::BFLOAT16:
      return at::kBFloat16;
    case onnx::TensorProto::INT64:
      return at::kLong;
    case onnx::TensorProto::UINT8:
      return at::kByte;
    default:
      TORCH_CHECK(false, "unknown type ", type);
  }
}

at::Tensor TensorOf(const onnx::TensorProto& proto) {
  at::Tensor tensor = at::empty(std::vector<int64_t>(proto.dims().begin(), proto.dims().end()),
                                TypeOf(proto.data_type()));
  TORCH_CHECK(proto.raw_data().size() == tensor.nbytes(), proto.name(), " has other bytes");
  std::memcpy(tensor.mutable_data_ptr(), proto.raw_data().data(), tensor.nbytes());
  return tensor;
}

// A node of the graph with the tensors that it reads.
struct Step {
  const onnx::NodeProto& node;
  std::vector<at::Tensor> in;

  const onnx::AttributeProto* Find(const std::string& name) const {
    for (const onnx::AttributeProto& attribute : node.attribute()) {
      if (attribute.name() == name) return &attribute;
    }
    return nullptr;
  }
  int64_t Int(const std::string& name) const {
    const onnx::AttributeProto* const attribute = Find(name);
    return attribute == nullptr ? 0 : attribute->i();
  }
  std::vector<int64_t> Ints(const std::string& name) const {
    const onnx::AttributeProto* const attribute = Find(name);
    if (attribute == nullptr) return {};
    return {attribute->ints().begin(), attribute->ints().end()};
  }
  float Float(const std::string& name) const { return Find(name)->f(); }

  at::Tensor Padded(double value) const {
    const std::vector<int64_t> p = Ints("pads");
    return at::constant_pad_nd(in[0], {p[1], p[3], p[0], p[2]}, value);
  }

  // Pads by in[1], the beginnings of all dimensions and then the ends of all, with the value in[2].
  at::Tensor PaddedBySides() const {
    const auto* const sides = in[1].const_data_ptr<int64_t>();
    const int64_t dims = in[0].dim();
    std::vector<int64_t> pad;  // from the last dimension to the first
    for (int64_t i = dims - 1; i >= 0; --i) pad.insert(pad.end(), {sides[i], sides[dims + i]});
    return at::constant_pad_nd(in[0], pad, in[2].item());
  }

  at::Tensor Reshaped() const {
    std::vector<int64_t> shape(in[1].const_data_ptr<int64_t>(),
                               in[1].const_data_ptr<int64_t>() + in[1].numel());
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] == 0) shape[i] = in[0].size(static_cast<int64_t>(i));
    }
    return in[0].reshape(shape);
  }

  at::Tensor Run() const {
    const std::string& op = node.op_type();
    if (op == "Add") return in[0] + in[1];
    if (op == "Mul") return in[0] * in[1];
    if (op == "Div") return in[0] / in[1];
    if (op == "Relu") return in[0].relu();
    if (op == "Tanh") return in[0].tanh();
    if (op == "Sigmoid") return in[0].sigmoid();
    if (op == "Erf") return in[0].erf();
    if (op == "HardSwish") return in[0] * at::clamp(in[0] / 6 + 0.5, 0, 1);
    if (op == "HardSigmoid") return at::clamp(in[0] * Float("alpha") + Float("beta"), 0, 1);
    if (op == "Softmax") return in[0].softmax(Int("axis"));
    if (op == "Clip") {
      at::Tensor y = in[0];
      if (in[1].defined()) y = at::maximum(y, in[1]);
      if (in[2].defined()) y = at::minimum(y, in[2]);
      return y;
    }
    if (op == "Conv") {
      const std::vector<int64_t> unpadded = {0, 0}, strides = Ints("strides"),
                                 dilations = Ints("dilations");
      return at::conv2d(Padded(0), in[1], in.size() > 2 ? in[2] : at::Tensor(), strides, unpadded,
                        dilations, Int("group"));
    }
    if (op == "BatchNormalization") {
      const auto wide = [&](size_t i) { return in[i].view({1, -1, 1, 1}); };
      return (in[0] - wide(3)) / (wide(4) + Float("epsilon")).sqrt() * wide(1) + wide(2);
    }
    if (op == "LayerNormalization") {
      TORCH_CHECK(Int("axis") == -1);
      const at::Tensor mean = in[0].mean(-1, /*keepdim=*/true);
      const at::Tensor variance = (in[0] - mean).square().mean(-1, /*keepdim=*/true);
      return (in[0] - mean) / (variance + Float("epsilon")).sqrt() * in[1] + in[2];
    }
    if (op == "Concat") return at::cat(in, Int("axis"));
    if (op == "Pad") return PaddedBySides();
    if (op == "MatMul") return in[0].matmul(in[1]);
    if (op == "ReduceMean" || op == "ReduceL2") {
      const std::vector<int64_t> axes(in[1].const_data_ptr<int64_t>(),
                                      in[1].const_data_ptr<int64_t>() + in[1].numel());
      const bool keeps = Int("keepdims") != 0;
      return op == "ReduceMean" ? in[0].mean(axes, keeps) : in[0].square().sum(axes, keeps).sqrt();
    }
    if (op == "MaxPool") {
      return at::max_pool2d(Padded(-1e30), Ints("kernel_shape"), Ints("strides"), 0,
                            Ints("dilations"));
    }
    if (op == "AveragePool") {
      // No network pads here, so that only a window that reaches beyond an odd side is smaller.
      return at::avg_pool2d(Padded(0), Ints("kernel_shape"), Ints("strides"), 0,
                            Int("ceil_mode") != 0, Int("count_include_pad") != 0);
    }
    if (op == "GlobalAveragePool") return in[0].mean({2, 3}, /*keepdim=*/true);
    if (op == "Flatten") return in[0].flatten(Int("axis"));
    if (op == "Reshape") return Reshaped();
    if (op == "Gemm") return at::linear(in[0], in[1], in.size() > 2 ? in[2] : at::Tensor());
    if (op == "Cast") return in[0].to(TypeOf(static_cast<int>(Int("to"))));
    if (op == "Transpose") return in[0].permute(Ints("perm"));
    if (op == "Slice") {
      const auto number = [&](size_t i) { return in[i].item<int64_t>(); };
      const int64_t step = in.size() > 4 ? number(4) : 1;
      return in[0].slice(number(3), number(1), number(2), step);
    }
    if (op == "Concat") return at::cat(in, Int("axis"));
    TORCH_CHECK(false, "unknown operator ", op);
  }
};

}  // namespace

std::map<std::string, at::Tensor> InterpretAll(const onnx::ModelProto& model,
                                               const at::Tensor& input) {
  const onnx::GraphProto& graph = model.graph();
  std::map<std::string, at::Tensor> values = {{"", at::Tensor()}};
  for (const onnx::TensorProto& constant : graph.initializer()) {
    values[constant.name()] = TensorOf(constant);
  }
  values[graph.input(0).name()] = input;
  for (const onnx::NodeProto& node : graph.node()) {
    Step step{node, {}};
    for (const std::string& name : node.input()) step.in.push_back(values.at(name));
    values[node.output(0)] = step.Run();
  }
  return values;
}

at::Tensor Interpret(const onnx::ModelProto& model, const at::Tensor& input) {
  return InterpretAll(model, input).at(model.graph().output(0).name());
}

}  // namespace finetune
