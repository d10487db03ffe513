// The ONNX counterpart of each LibTorch operator that a network's forward pass may call. kOperators
// at the end of the file is the table. A network with a new operator needs an entry there and
// nothing else.
#include "src/export/operators.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numeric>
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

// linear(x, weight, bias). ONNX's Gemm takes matrices alone, so a linear layer on the last of more
// dimensions is a MatMul with the transposed weight.
Name Linear(const OperatorCall& call, Graph* graph) {
  const std::string &x = call.values[0], &weight = call.values[1], &bias = call.values[2];
  if (TensorAt(call, 0).dim() == 2) {
    std::vector<std::string> inputs = {x, weight};
    if (!bias.empty()) inputs.push_back(bias);
    return Add(call, "Gemm", inputs, graph, {{"transB", int64_t{1}}});
  }
  const std::string transposed =
      graph->AddConstant(weight + ".transposed", TensorAt(call, 1).t().contiguous());
  const std::string product = Add(call, "MatMul", {x, transposed}, graph);
  return bias.empty() ? product : Add(call, "Add", {product, bias}, graph);
}

// layer_norm(x, normalized_shape, weight, bias, eps, cudnn_enable)
Name LayerNormalization(const OperatorCall& call, Graph* graph) {
  if (IntsAt(call, 1).size() != 1) return Unsupported(call, " over several dimensions");
  if (call.values[2].empty() || call.values[3].empty()) {
    return Unsupported(call, " without scale and shift");
  }
  return Add(call, "LayerNormalization", {call.values[0], call.values[2], call.values[3]}, graph,
             {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(call.inputs[4].toDouble())}});
}

// gelu(x, approximate) = x / 2 * (1 + erf(x / sqrt(2))). ONNX has Gelu only since opset 20.
// onnxruntime knows these nodes and runs them as one.
Name Gelu(const OperatorCall& call, Graph* graph) {
  if (call.inputs[1].toStringRef() != "none") return Unsupported(call, " with an approximation");
  const std::string& x = call.values[0];
  std::string y = Add(call, "Div", {x, graph->AddScalar(std::sqrt(2.0))}, graph);
  y = Add(call, "Erf", {y}, graph);
  y = Add(call, "Add", {y, graph->AddScalar(1)}, graph);
  y = Add(call, "Mul", {x, y}, graph);
  return Add(call, "Mul", {y, graph->AddScalar(0.5)}, graph);
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

// Returns a list of dimensions, counted from 0 and sorted.
std::vector<int64_t> DimensionsAt(const OperatorCall& call, size_t i) {
  std::vector<int64_t> dims = IntsAt(call, i);
  for (int64_t& dim : dims) dim += dim < 0 ? TensorAt(call, 0).dim() : 0;
  std::sort(dims.begin(), dims.end());
  return dims;
}

// Appends a node that reduces these dimensions by ONNX's operator `op`.
Name Reduce(const OperatorCall& call, const std::string& op, const std::vector<int64_t>& dims,
            bool keeps, Graph* graph) {
  if (dims.empty() || dims.front() == 0) return Unsupported(call, " over images");
  return Add(call, op, {call.values[0], graph->AddConstant(call.op + ".axes", at::tensor(dims))},
             graph, {{"keepdims", int64_t{keeps}}});
}

// linalg_vector_norm(x, ord, dim, keepdim, dtype)
Name VectorNorm(const OperatorCall& call, Graph* graph) {
  if (call.inputs[1].toScalar().toDouble() != 2) return Unsupported(call, " of another order");
  return Reduce(call, "ReduceL2", DimensionsAt(call, 2), call.inputs[3].toBool(), graph);
}

// mean(x, dim, keepdim, dtype)
Name Mean(const OperatorCall& call, Graph* graph) {
  const std::vector<int64_t> dims = DimensionsAt(call, 1);
  if (TensorAt(call, 0).dim() != 4 || dims != std::vector<int64_t>{2, 3}) {
    return Reduce(call, "ReduceMean", dims, call.inputs[2].toBool(), graph);
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

// constant_pad_nd(x, pad, value). pad: the two ends of the last dimension, then of the one before
// it, and so on. ONNX wants the beginnings of all dimensions, then the ends of all.
Name Pad(const OperatorCall& call, Graph* graph) {
  const std::vector<int64_t> pad = IntsAt(call, 1);
  const auto dims = static_cast<size_t>(TensorAt(call, 0).dim());
  if (pad.size() >= 2 * dims) return Unsupported(call, " of the batch");
  std::vector<int64_t> sides(2 * dims, 0);
  for (size_t i = 0; i < pad.size() / 2; ++i) {
    sides[dims - 1 - i] = pad[2 * i];
    sides[2 * dims - 1 - i] = pad[2 * i + 1];
  }
  const std::string ends = graph->AddConstant(call.op + ".sides", at::tensor(sides));
  return Add(call, "Pad", {call.values[0], ends, Operand(call, 2, graph)}, graph);
}

// Appends a node that takes every `step`-th element from `start` to before `end` of a dimension.
Name AddSlice(const OperatorCall& call, int64_t dim, int64_t start, int64_t end, int64_t step,
              Graph* graph) {
  if (dim == 0) return Unsupported(call, " of images");
  const auto constant = [&](const char* name, int64_t value) {
    return graph->AddConstant(absl::StrCat(call.op, ".", name), at::tensor({value}));
  };
  return Add(call, "Slice",
             {call.values[0], constant("start", start), constant("end", end), constant("axis", dim),
              constant("step", step)},
             graph);
}

// slice(x, dim, start, end, step)
Name Slice(const OperatorCall& call, Graph* graph) {
  const auto bound = [&](size_t i, int64_t otherwise) {
    return call.inputs[i].isNone() ? otherwise : call.inputs[i].toInt();
  };
  return AddSlice(call, call.inputs[1].toInt(), bound(2, 0),
                  bound(3, std::numeric_limits<int64_t>::max()), bound(4, 1), graph);
}

// One result of chunk(x, chunks, dim). All but the last have the same size.
Name Chunk(const OperatorCall& call, Graph* graph) {
  const int64_t chunks = call.inputs[1].toInt(), dim = call.inputs[2].toInt();
  if (dim < 0) return Unsupported(call, " of a dimension counted from the end");
  const int64_t size = CeilDivide(TensorAt(call, 0).size(dim), chunks);
  return AddSlice(call, dim, call.result * size, (call.result + 1) * size, 1, graph);
}

// scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, scale,
// enable_gqa) = softmax(query key^T / sqrt(d) + attn_mask) value, where query, key and value are
// [N, heads, T, d], and attn_mask, which may be missing, is [1, heads, T, T].
Name Attention(const OperatorCall& call, Graph* graph) {
  if (call.inputs[5].toBool() || !call.inputs[6].isNone()) {
    return Unsupported(call, " with a causal mask or a scale");
  }
  const bool has_mask = !call.inputs[3].isNone();
  if (has_mask && TensorAt(call, 3).scalar_type() != at::kFloat) {
    return Unsupported(call, " with a mask of truth values");
  }
  const std::vector<int64_t> query = ShapeOf(TensorAt(call, 0)), key = ShapeOf(TensorAt(call, 1));
  if (query.size() != 3) return Unsupported(call, " on other than heads of tokens");
  const auto add = [&](const char* op, const std::vector<std::string>& inputs,
                       const std::vector<int64_t>& shape,
                       const std::vector<Attribute>& attributes = {}) {
    return graph->AddNode(op, call.op, inputs, attributes, shape);
  };
  const double scale = 1 / std::sqrt(static_cast<double>(query[2]));
  const std::string scaled = add("Mul", {call.values[0], graph->AddScalar(scale)}, query);
  const std::string transposed = add("Transpose", {call.values[1]}, {key[0], key[2], key[1]},
                                     {{"perm", std::vector<int64_t>{0, 1, 3, 2}}});
  const std::vector<int64_t> scores = {query[0], query[1], key[1]};
  std::string products = add("MatMul", {scaled, transposed}, scores);
  if (has_mask) products = add("Add", {products, call.values[3]}, scores);
  const std::string weights = add("Softmax", {products}, scores, {{"axis", int64_t{-1}}});
  return Add(call, "MatMul", {weights, call.values[2]}, graph);
}

// roll(x, shifts, dims): the last `shift` elements of a dimension move to its beginning. A negative
// shift moves the first ones to the end.
Name Roll(const OperatorCall& call, Graph* graph) {
  const std::vector<int64_t> shifts = IntsAt(call, 1), dims = IntsAt(call, 2);
  const at::Tensor& x = TensorAt(call, 0);
  if (dims.empty()) return Unsupported(call, " of all dimensions together");
  std::string value = call.values[0];
  const auto part = [&](int64_t dim, int64_t start, int64_t end) {
    const auto constant = [&](const char* name, int64_t number) {
      return graph->AddConstant(absl::StrCat(call.op, ".", name), at::tensor({number}));
    };
    std::vector<int64_t> shape = ShapeOf(x);
    shape[static_cast<size_t>(dim - 1)] = end - start;
    return graph->AddNode(
        "Slice", call.op,
        {value, constant("start", start), constant("end", end), constant("axis", dim)}, {}, shape);
  };
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t dim = dims[i];
    if (dim <= 0) return Unsupported(call, " of images, or of a dimension counted from the end");
    const int64_t size = x.size(dim);
    // The element that comes to the beginning.
    const int64_t first = ((size - shifts[i]) % size + size) % size;
    if (first == 0) continue;
    value = graph->AddNode("Concat", call.op, {part(dim, first, size), part(dim, 0, first)},
                           {{"axis", dim}}, ShapeOf(x));
  }
  return value;
}

// permute(x, dims)
Name Transpose(const OperatorCall& call, Graph* graph) {
  std::vector<int64_t> dims = IntsAt(call, 1);
  for (int64_t& dim : dims) dim += dim < 0 ? TensorAt(call, 0).dim() : 0;
  if (dims[0] != 0) return Unsupported(call, " of images");
  return Add(call, "Transpose", {call.values[0]}, graph, {{"perm", dims}});
}

// transpose(x, dim0, dim1)
Name TransposeTwo(const OperatorCall& call, Graph* graph) {
  const int64_t count = TensorAt(call, 0).dim();
  std::vector<int64_t> dims(count);
  std::iota(dims.begin(), dims.end(), 0);
  std::swap(dims[(call.inputs[1].toInt() + count) % count],
            dims[(call.inputs[2].toInt() + count) % count]);
  if (dims[0] != 0) return Unsupported(call, " of images");
  return Add(call, "Transpose", {call.values[0]}, graph, {{"perm", dims}});
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

// cat(tensors, dim)
Name Concat(const OperatorCall& call, Graph* graph) {
  const int64_t dims = call.output.dim(), dim = (call.inputs[1].toInt() + dims) % dims;
  if (dim == 0) return Unsupported(call, " of images");
  return Add(call, "Concat", call.elements, graph, {{"axis", dim}});
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
    {"cat", &Concat},
    {"chunk", &Chunk},
    {"clamp", &Clip},
    {"constant_pad_nd", &Pad},
    {"conv2d", &Conv2d},
    {"div", &Binary<kDiv>},
    {"flatten", &Reshape},
    {"gelu", &Gelu},
    {"hardsigmoid", &HardSigmoid},
    {"hardswish", &Unary<kHardSwish>},
    {"hardtanh", &Clip},
    {"layer_norm", &LayerNormalization},
    {"linalg_vector_norm", &VectorNorm},
    {"linear", &Linear},
    {"max_pool2d", &MaxPool},
    {"mean", &Mean},
    {"mul", &Binary<kMul>},
    {"permute", &Transpose},
    {"relu", &Unary<kRelu>},
    {"reshape", &Reshape},
    {"roll", &Roll},
    {"scaled_dot_product_attention", &Attention},
    {"sigmoid", &Unary<kSigmoid>},
    {"silu", &Silu},
    {"slice", &Slice},
    {"squeeze", &Reshape},
    {"tanh", &Unary<kTanh>},
    {"transpose", &TransposeTwo},
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
