// The ONNX counterpart of each LibTorch operator that a network's forward pass may call. kOperators
// at the end of the file is the table. A network with a new operator needs an entry there and
// nothing else.
#include "src/export/operators.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/ceil_divide.h"

namespace finetune {
namespace {

using Name = absl::StatusOr<std::string>;

// Returns the shape of `tensor` without its first dimension, the batch.
std::vector<int64_t> ShapeOf(const at::Tensor& tensor) { return tensor.sizes().slice(1).vec(); }

std::string Add(const OperatorCall& call, const std::string& op,
                const std::vector<std::string>& inputs, Graph* graph,
                const std::vector<Attribute>& attributes = {}) {
  const std::string& name = call.layer.empty() ? call.op : call.layer;
  return graph->AddNode(op, name, inputs, attributes, ShapeOf(call.output));
}

absl::Status Unsupported(const OperatorCall& call, absl::string_view use) {
  return absl::UnimplementedError(
      absl::StrCat("the network calls LibTorch's operator ", call.op, use,
                   ", which has no ONNX counterpart in src/export/operators.cc"));
}

const at::Tensor& TensorAt(const OperatorCall& call, size_t i) { return call.inputs[i].toTensor(); }

std::vector<int64_t> IntsAt(const OperatorCall& call, size_t i) {
  return call.inputs[i].isIntList() ? call.inputs[i].toIntVector() : std::vector<int64_t>();
}

// Returns a list of two integers, [vertical, horizontal]. A list of one integer stands for both.
std::vector<int64_t> PairAt(const OperatorCall& call, size_t i) {
  std::vector<int64_t> pair = IntsAt(call, i);
  if (pair.size() == 1) pair.push_back(pair[0]);
  return pair;
}

// Converts LibTorch's padding [vertical, horizontal] to ONNX's [top, left, bottom, right].
std::vector<int64_t> BothSides(const std::vector<int64_t>& padding) {
  return {padding[0], padding[1], padding[0], padding[1]};
}

// Returns the name of the value of an input that is a tensor or a number. A number becomes a
// constant.
std::string Operand(const OperatorCall& call, size_t i, Graph* graph) {
  if (!call.values[i].empty()) return call.values[i];
  return graph->AddScalar(call.inputs[i].toScalar().toDouble());
}

// conv2d(x, weight, bias, stride, padding, dilation, groups)
Name Conv2d(const OperatorCall& call, Graph* graph) {
  if (!call.inputs[4].isIntList()) return Unsupported(call, " with padding by name");
  std::vector<std::string> inputs = {call.values[0], call.values[1]};
  if (!call.values[2].empty()) inputs.push_back(call.values[2]);
  const at::Tensor& weight = TensorAt(call, 1);
  return Add(call, "Conv", inputs, graph,
             {{"kernel_shape", std::vector<int64_t>{weight.size(2), weight.size(3)}},
              {"strides", PairAt(call, 3)},
              {"pads", BothSides(PairAt(call, 4))},
              {"dilations", PairAt(call, 5)},
              {"group", call.inputs[6].toInt()}});
}

// batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled)
Name BatchNormalization(const OperatorCall& call, Graph* graph) {
  if (call.inputs[5].toBool()) return Unsupported(call, " with the batch's statistics");
  return Add(call, "BatchNormalization",
             {call.values[0], call.values[1], call.values[2], call.values[3], call.values[4]},
             graph, {{"epsilon", static_cast<float>(call.inputs[7].toDouble())}});
}

// linear(x, weight, bias)
Name Gemm(const OperatorCall& call, Graph* graph) {
  if (TensorAt(call, 0).dim() != 2) return Unsupported(call, " on other than vectors");
  std::vector<std::string> inputs = {call.values[0], call.values[1]};
  if (!call.values[2].empty()) inputs.push_back(call.values[2]);
  return Add(call, "Gemm", inputs, graph, {{"transB", int64_t{1}}});
}

// add(x, y, alpha)
Name Sum(const OperatorCall& call, Graph* graph) {
  if (call.inputs[2].toScalar().toDouble() != 1) return Unsupported(call, " with a factor");
  return Add(call, "Add", {Operand(call, 0, graph), Operand(call, 1, graph)}, graph);
}

// mul(x, y) and div(x, y). kOp: ONNX's operator.
template <const char* kOp>
Name Binary(const OperatorCall& call, Graph* graph) {
  if (call.inputs.size() != 2) return Unsupported(call, " with rounding");
  return Add(call, kOp, {Operand(call, 0, graph), Operand(call, 1, graph)}, graph);
}

// An operator f(x) with one input and no arguments. kOp: ONNX's operator.
template <const char* kOp>
Name Unary(const OperatorCall& call, Graph* graph) {
  return Add(call, kOp, {call.values[0]}, graph);
}

// silu(x) = x * sigmoid(x). ONNX has Swish only since opset 24, so this writes Sigmoid and Mul.
Name Silu(const OperatorCall& call, Graph* graph) {
  const std::string gate = Add(call, "Sigmoid", {call.values[0]}, graph);
  return Add(call, "Mul", {call.values[0], gate}, graph);
}

// hardsigmoid(x) = clamp(x / 6 + 1 / 2, 0, 1)
Name HardSigmoid(const OperatorCall& call, Graph* graph) {
  return Add(call, "HardSigmoid", {call.values[0]}, graph, {{"alpha", 1.0F / 6}, {"beta", 0.5F}});
}

// hardtanh(x, min, max) and clamp(x, min, max)
Name Clip(const OperatorCall& call, Graph* graph) {
  std::vector<std::string> inputs = {call.values[0]};
  for (const size_t bound : {size_t{1}, size_t{2}}) {
    inputs.push_back(call.inputs[bound].isNone() ? "" : Operand(call, bound, graph));
  }
  return Add(call, "Clip", inputs, graph);
}

// max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
Name MaxPool(const OperatorCall& call, Graph* graph) {
  const std::vector<int64_t> kernel = PairAt(call, 1), stride = PairAt(call, 2);
  return Add(call, "MaxPool", {call.values[0]}, graph,
             {{"kernel_shape", kernel},
              {"strides", stride.empty() ? kernel : stride},
              {"pads", BothSides(PairAt(call, 3))},
              {"dilations", PairAt(call, 4)},
              {"ceil_mode", int64_t{call.inputs[5].toBool()}}});
}

// avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
Name AveragePool(const OperatorCall& call, Graph* graph) {
  if (!call.inputs[6].isNone()) return Unsupported(call, " with a divisor");
  const std::vector<int64_t> kernel = PairAt(call, 1), stride = PairAt(call, 2);
  return Add(call, "AveragePool", {call.values[0]}, graph,
             {{"kernel_shape", kernel},
              {"strides", stride.empty() ? kernel : stride},
              {"pads", BothSides(PairAt(call, 3))},
              {"ceil_mode", int64_t{call.inputs[4].toBool()}},
              {"count_include_pad", int64_t{call.inputs[5].toBool()}}});
}

// mean(x, dim, keepdim, dtype), where x is [N, C, H, W] and the mean is over H and W.
Name Mean(const OperatorCall& call, Graph* graph) {
  std::vector<int64_t> dims = IntsAt(call, 1);
  for (int64_t& dim : dims) dim += dim < 0 ? TensorAt(call, 0).dim() : 0;
  std::sort(dims.begin(), dims.end());
  if (TensorAt(call, 0).dim() != 4 || dims != std::vector<int64_t>{2, 3}) {
    return Unsupported(call, " over other than the places of maps");
  }
  const int64_t channels = TensorAt(call, 0).size(1);
  const std::string maps =
      graph->AddNode("GlobalAveragePool", call.op, {call.values[0]}, {}, {channels, 1, 1});
  if (call.inputs[2].toBool()) return maps;
  return Add(call, "Flatten", {maps}, graph, {{"axis", int64_t{1}}});
}

// Returns the matrix [to, from] that averages `from` places to `to` places as LibTorch does: the
// windows may overlap, and have different sizes.
at::Tensor AveragesOf(int64_t from, int64_t to) {
  at::Tensor matrix = at::zeros({to, from});
  for (int64_t i = 0; i < to; ++i) {
    const int64_t begin = i * from / to, end = CeilDivide((i + 1) * from, to);
    matrix.select(0, i).slice(0, begin, end).fill_(1.0 / static_cast<double>(end - begin));
  }
  return matrix;
}

// adaptive_avg_pool2d(x, output_size). ONNX has it for one place only. Otherwise a product with a
// matrix averages the rows, and another the columns.
Name AdaptiveAveragePool(const OperatorCall& call, Graph* graph) {
  const std::vector<int64_t> to = PairAt(call, 1);
  if (to == std::vector<int64_t>{1, 1}) {
    return Add(call, "GlobalAveragePool", {call.values[0]}, graph);
  }
  const at::Tensor& x = TensorAt(call, 0);
  if (to == std::vector<int64_t>{x.size(2), x.size(3)}) return call.values[0];
  const std::string rows = graph->AddNode(
      "MatMul", call.op + ".rows",
      {graph->AddConstant(call.op + ".of_rows", AveragesOf(x.size(2), to[0])), call.values[0]}, {},
      {x.size(1), to[0], x.size(3)});
  const at::Tensor of_columns = AveragesOf(x.size(3), to[1]).t().contiguous();
  return Add(call, "MatMul", {rows, graph->AddConstant(call.op + ".of_columns", of_columns)},
             graph);
}

// constant_pad_nd(x, pad, value). pad: [left, right, top, bottom].
Name Pad(const OperatorCall& call, Graph* graph) {
  const std::vector<int64_t> pad = IntsAt(call, 1);
  if (TensorAt(call, 0).dim() != 4 || pad.size() != 4) return Unsupported(call, " of other sides");
  const std::string sides = graph->AddConstant(
      call.op + ".sides",
      at::tensor({int64_t{0}, int64_t{0}, pad[2], pad[0], int64_t{0}, int64_t{0}, pad[3], pad[1]}));
  return Add(call, "Pad", {call.values[0], sides, Operand(call, 2, graph)}, graph);
}

// slice(x, dim, start, end, step)
Name Slice(const OperatorCall& call, Graph* graph) {
  const int64_t dim = call.inputs[1].toInt();
  if (dim == 0) return Unsupported(call, " of images");
  const auto constant = [&](const char* name, int64_t value) {
    return graph->AddConstant(absl::StrCat(call.op, ".", name), at::tensor({value}));
  };
  const auto bound = [&](size_t i, int64_t otherwise) {
    return call.inputs[i].isNone() ? otherwise : call.inputs[i].toInt();
  };
  return Add(call, "Slice",
             {call.values[0], constant("start", bound(2, 0)),
              constant("end", bound(3, std::numeric_limits<int64_t>::max())), constant("axis", dim),
              constant("step", bound(4, 1))},
             graph);
}

// flatten, view, reshape, squeeze and unsqueeze. All of them keep the batch dimension and change
// only the other dimensions.
Name Reshape(const OperatorCall& call, Graph* graph) {
  const at::Tensor& x = TensorAt(call, 0);
  if (call.output.dim() == 0 || call.output.size(0) != x.size(0)) {
    return Unsupported(call, " across images");
  }
  std::vector<int64_t> shape = call.output.sizes().vec();
  shape[0] = 0;  // 0 in ONNX: the size of this dimension in the input
  return Add(call, "Reshape",
             {call.values[0], graph->AddConstant(call.op + ".shape", at::tensor(shape))}, graph);
}

constexpr char kRelu[] = "Relu", kTanh[] = "Tanh", kSigmoid[] = "Sigmoid",
               kHardSwish[] = "HardSwish", kMul[] = "Mul", kDiv[] = "Div";

// Every operator that an exported network may call. The trailing "_" of an operator that writes to
// its input ("relu_") is left out.
constexpr std::pair<absl::string_view, Name (*)(const OperatorCall&, Graph*)> kOperators[] = {
    {"adaptive_avg_pool2d", &AdaptiveAveragePool},
    {"add", &Sum},
    {"avg_pool2d", &AveragePool},
    {"batch_norm", &BatchNormalization},
    {"clamp", &Clip},
    {"constant_pad_nd", &Pad},
    {"conv2d", &Conv2d},
    {"div", &Binary<kDiv>},
    {"flatten", &Reshape},
    {"hardsigmoid", &HardSigmoid},
    {"hardswish", &Unary<kHardSwish>},
    {"hardtanh", &Clip},
    {"linear", &Gemm},
    {"max_pool2d", &MaxPool},
    {"mean", &Mean},
    {"mul", &Binary<kMul>},
    {"relu", &Unary<kRelu>},
    {"reshape", &Reshape},
    {"sigmoid", &Unary<kSigmoid>},
    {"silu", &Silu},
    {"slice", &Slice},
    {"squeeze", &Reshape},
    {"tanh", &Unary<kTanh>},
    {"unsqueeze", &Reshape},
    {"view", &Reshape},
};

}  // namespace

absl::StatusOr<std::string> AddCall(const OperatorCall& call, Graph* graph) {
  const auto* const found = std::find_if(std::begin(kOperators), std::end(kOperators),
                                         [&](const auto& entry) { return entry.first == call.op; });
  if (found == std::end(kOperators)) return Unsupported(call, "");
  return found->second(call, graph);
}

}  // namespace finetune
