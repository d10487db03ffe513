#include "src/model/inverted_residual.h"

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "src/model/dropout.h"

namespace finetune {

InvertedResidual MakeInvertedResidual(const InvertedResidualNames& names,
                                      std::initializer_list<InvertedResidualNames> others,
                                      const InvertedResidualShape& shape, LayerBuilder* make) {
  const auto& [in, width, out, kernel, stride, same, norm] = shape;
  InvertedResidual block;
  if (width != in) {
    block.expand = make->MakeConvBn(names.expand, {.in = in, .out = width, .kernel = 1}, norm);
    for (const auto& other : others) make->AlsoNamed(names.expand, {other.expand});
  }
  block.depthwise = make->MakeConvBn(names.depthwise,
                                     {.in = width,
                                      .out = width,
                                      .kernel = kernel,
                                      .stride = stride,
                                      .padding = same ? 0 : kernel / 2,
                                      .groups = width,
                                      .same = same},
                                     norm);
  block.project = make->MakeConvBn(names.project, {.in = width, .out = out, .kernel = 1}, norm);
  for (const auto& other : others) {
    make->AlsoNamed(names.depthwise, {other.depthwise});
    make->AlsoNamed(names.project, {other.project});
  }
  block.adds_input = stride == 1 && in == out;
  return block;
}

InvertedResidualNames TimmNames(int stage, int index, bool expands) {
  const std::string name = absl::StrCat("blocks.", stage, ".", index);
  if (!expands) {
    return {.depthwise = {name + ".conv_dw", name + ".bn1"},
            .project = {name + ".conv_pw", name + ".bn2"}};
  }
  return {.expand = {name + ".conv_pw", name + ".bn1"},
          .depthwise = {name + ".conv_dw", name + ".bn2"},
          .project = {name + ".conv_pwl", name + ".bn3"}};
}

at::Tensor RunInvertedResidual(const at::Tensor& x, const InvertedResidual& block,
                               const StagePass& pass) {
  at::Tensor y = x;
  if (block.expand.has_value()) y = ConvBnAct(y, *block.expand, {}, Activation::kRelu6, pass);
  y = ConvBnAct(y, block.depthwise, {}, Activation::kRelu6, pass);
  if (!block.adds_input) return ConvBnAct(y, block.project, {}, Activation::kNone, pass);
  if (!pass.trained || block.drop_path == 0) {
    return ConvBnAct(y, block.project, x, Activation::kNone, pass);
  }
  y = ConvBnAct(y, block.project, {}, Activation::kNone, pass);
  return x + DropPath(y, block.drop_path, pass.seed, pass.context, block.index);
}

at::Tensor InvertedResidualLayers::RunStage(int stage, at::Tensor x, const StagePass& pass) const {
  if (stage == 0) return ConvBnAct(x, stem, {}, Activation::kRelu6, pass);
  for (const InvertedResidual& block : stages[stage - 1]) x = RunInvertedResidual(x, block, pass);
  return stage == static_cast<int>(stages.size()) ? ConvBnAct(x, last, {}, Activation::kRelu6, pass)
                                                  : x;
}

int64_t ScaledWidth(int64_t channels, double factor) {
  const double exact = static_cast<double>(channels) * factor;
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(exact + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * exact ? rounded + 8 : rounded;
}

}  // namespace finetune
