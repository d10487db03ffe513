// Problem: the hidden layer of an MLP block has 4 times the numbers of its input. PyTorch keeps it
// twice for backward, before and after the GELU, and backward holds two more tensors of this size.
// Writing and reading them takes memory and time.
//
// Method: forward and backward run over chunks of rows, so that a chunk's hidden numbers stay in
// the caches from one operation to the next. Forward keeps only the numbers before the GELU;
// backward computes the GELU again, which is cheap beside the four products.
//
// Invariants: a chunk has the same rows for any number of threads. The weights' gradients are
// summed over the chunks in float32.
//
// Reference: LibTorch's operators in float64, by gelu_mlp_test.cc.
#include "src/ops/gelu_mlp.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <vector>

#include "src/ops/conv.h"

namespace finetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A chunk has this many hidden numbers, but at least kLeastRows rows, because each chunk reads all
// weights.
constexpr int64_t kHiddenNumbers = 1 << 20;
constexpr int64_t kLeastRows = 1024;

// Calls work(begin, count) for each chunk of `rows` rows.
template <typename Work>
void ForChunks(int64_t rows, int64_t hidden, const Work& work) {
  const int64_t size = std::max(kLeastRows, kHiddenNumbers / hidden);
  for (int64_t begin = 0; begin < rows; begin += size) work(begin, std::min(size, rows - begin));
}

// Returns x with all dimensions but the last one as one: [rows, columns].
at::Tensor AsRows(const at::Tensor& x) {
  return x.contiguous().view({x.numel() / std::max<int64_t>(1, x.size(-1)), x.size(-1)});
}

// Returns the result, [..., out]. hidden: [rows, hidden] in x's type, receives the numbers before
// the GELU; undefined where nobody needs them.
at::Tensor Forward(const at::Tensor& x, const MlpWeights& weights, const at::Tensor& hidden) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = weights.project.size(0);
  const at::Tensor y = at::empty(sizes, x.options());
  const at::Tensor from = AsRows(x), to = y.view({from.size(0), sizes.back()});
  const at::ScalarType type = ConvType(x);
  const at::Tensor expand = RoundedFor(weights.expand, x).t(),
                   expand_bias = RoundedFor(weights.expand_bias, x);
  const at::Tensor project = RoundedFor(weights.project, x).t(),
                   project_bias = RoundedFor(weights.project_bias, x);
  ForChunks(from.size(0), weights.expand.size(0), [&](int64_t begin, int64_t count) {
    at::Tensor h = at::addmm(expand_bias, from.narrow(0, begin, count).to(type), expand);
    if (hidden.defined()) hidden.narrow(0, begin, count).copy_(h);
    at::gelu_(h);
    to.narrow(0, begin, count).copy_(at::addmm(project_bias, h, project));
  });
  return y;
}

struct GeluMlpFunction : torch::autograd::Function<GeluMlpFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& expand,
                            const at::Tensor& expand_bias, const at::Tensor& project,
                            const at::Tensor& project_bias) {
    const at::Tensor hidden =
        at::empty({x.numel() / std::max<int64_t>(1, x.size(-1)), expand.size(0)}, x.options());
    const at::Tensor y = Forward(x, {expand, expand_bias, project, project_bias}, hidden);
    context->save_for_backward({x, expand, project, hidden});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &hidden = saved[3];
    const at::ScalarType type = ConvType(x);
    const at::Tensor expand = RoundedFor(saved[1], x), project = RoundedFor(saved[2], x);
    const at::Tensor from = AsRows(x), dy = AsRows(gradients[0]);
    const bool needs_dx = context->needs_input_grad(0), needs_dw = context->needs_input_grad(1);
    at::Tensor dx, d_expand, d_expand_bias, d_project, d_project_bias;
    if (needs_dx) dx = at::empty(x.sizes(), x.options());
    if (needs_dw) {
      d_expand = at::zeros(expand.sizes(), at::kFloat);
      d_expand_bias = at::zeros({expand.size(0)}, at::kFloat);
      d_project = at::zeros(project.sizes(), at::kFloat);
      d_project_bias = at::zeros({project.size(0)}, at::kFloat);
    }
    const auto add_product = [&](const at::Tensor& sum, const at::Tensor& a, const at::Tensor& b) {
      if (type == at::kFloat) {
        sum.addmm_(a.t(), b);
      } else {
        sum.add_(at::mm(a.t(), b));
      }
    };
    ForChunks(from.size(0), expand.size(0), [&](int64_t begin, int64_t count) {
      const at::Tensor slopes = dy.narrow(0, begin, count).to(type);
      const at::Tensor h = hidden.narrow(0, begin, count).to(type);
      if (needs_dw) {
        add_product(d_project, slopes, at::gelu(h));
        d_project_bias.add_(slopes.sum(0, /*keepdim=*/false, at::kFloat));
      }
      const at::Tensor dh = at::gelu_backward(at::mm(slopes, project), h);
      if (needs_dw) {
        add_product(d_expand, dh, from.narrow(0, begin, count).to(type));
        d_expand_bias.add_(dh.sum(0, /*keepdim=*/false, at::kFloat));
      }
      if (needs_dx) {
        dx.view({from.size(0), from.size(1)}).narrow(0, begin, count).copy_(at::mm(dh, expand));
      }
    });
    return {dx, d_expand, d_expand_bias, d_project, d_project_bias};
  }
};

}  // namespace

at::Tensor GeluMlp(const at::Tensor& x, const MlpWeights& weights) {
  // The weights of a block are trained together or not at all.
  const bool records =
      at::GradMode::is_enabled() && (x.requires_grad() || weights.expand.requires_grad());
  if (!records) return Forward(x, weights, /*hidden=*/{});
  return GeluMlpFunction::apply(x, weights.expand, weights.expand_bias, weights.project,
                                weights.project_bias);
}

}  // namespace finetune
