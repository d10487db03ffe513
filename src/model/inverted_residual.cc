#include "src/model/inverted_residual.h"

#include <ATen/TensorOperators.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "src/model/dropout.h"

namespace finetune {

InvertedResidual MakeInvertedResidual(const InvertedResidualNames& names,
                                      std::initializer_list<InvertedResidualNames> others,
                                      const InvertedResidualShape& shape, LayerBuilder* make) {
  const int64_t in = shape.in, width = shape.width, out = shape.out;
  InvertedResidual block;
  block.activation = shape.activation;
  if (width != in) {
    block.expand =
        make->MakeConvBn(names.expand, {.in = in, .out = width, .kernel = 1}, shape.norm);
    for (const auto& other : others) make->AlsoNamed(names.expand, {other.expand});
  }
  block.depthwise = make->MakeConvBn(names.depthwise,
                                     {.in = width,
                                      .out = width,
                                      .kernel = shape.kernel,
                                      .stride = shape.stride,
                                      .padding = shape.same ? 0 : shape.kernel / 2,
                                      .groups = width,
                                      .same = shape.same},
                                     shape.norm);
  if (shape.squeezed > 0) {
    block.squeeze = make->MakeSqueezeExcite(names.squeeze, width, shape.squeezed,
                                            shape.squeeze_activation, shape.gate);
    for (const auto& other : others) {
      make->AlsoNamed(names.squeeze.reduce, {other.squeeze.reduce});
      make->AlsoNamed(names.squeeze.expand, {other.squeeze.expand});
    }
  }
  block.project =
      make->MakeConvBn(names.project, {.in = width, .out = out, .kernel = 1}, shape.norm);
  for (const auto& other : others) {
    make->AlsoNamed(names.depthwise, {other.depthwise});
    make->AlsoNamed(names.project, {other.project});
  }
  block.adds_input = shape.stride == 1 && in == out;
  return block;
}

InvertedResidual MakeFusedInvertedResidual(const InvertedResidualNames& names,
                                           std::initializer_list<InvertedResidualNames> others,
                                           const InvertedResidualShape& shape, LayerBuilder* make) {
  const int64_t in = shape.in, width = shape.width, out = shape.out;
  const bool expands = width != in;
  // With a stride of 1, SAME is the same as padding both sides.
  const bool same = shape.same && shape.stride > 1;
  InvertedResidual block;
  block.activation = shape.activation;
  block.expand = make->MakeConvBn(names.expand,
                                  {.in = in,
                                   .out = expands ? width : out,
                                   .kernel = shape.kernel,
                                   .stride = shape.stride,
                                   .padding = same ? 0 : shape.kernel / 2,
                                   .same = same},
                                  shape.norm);
  if (expands) {
    block.project =
        make->MakeConvBn(names.project, {.in = width, .out = out, .kernel = 1}, shape.norm);
  }
  for (const auto& other : others) {
    make->AlsoNamed(names.expand, {other.expand});
    if (expands) make->AlsoNamed(names.project, {other.project});
  }
  block.adds_input = shape.stride == 1 && in == out;
  return block;
}

ConvBnNames MmpretrainConvBn(const std::string& name) { return {name + ".conv", name + ".bn"}; }

ConvBnNames TorchvisionConvBn(const std::string& name, int conv) {
  return {absl::StrCat(name, ".", conv), absl::StrCat(name, ".", conv + 1)};
}

InvertedResidualNames TimmNames(int stage, int index, bool expands) {
  const std::string name = absl::StrCat("blocks.", stage, ".", index);
  const SqueezeExciteNames squeeze = {name + ".se.conv_reduce", name + ".se.conv_expand"};
  if (!expands) {
    return {.depthwise = {name + ".conv_dw", name + ".bn1"},
            .project = {name + ".conv_pw", name + ".bn2"},
            .squeeze = squeeze};
  }
  return {.expand = {name + ".conv_pw", name + ".bn1"},
          .depthwise = {name + ".conv_dw", name + ".bn2"},
          .project = {name + ".conv_pwl", name + ".bn3"},
          .squeeze = squeeze};
}

absl::Status TimmOriginError(absl::string_view package, absl::string_view field,
                             absl::string_view value) {
  return absl::InvalidArgumentError(
      absl::StrCat("its names are timm's, whose ", package, " and tf_", package,
                   " have the same names and differ in padding and epsilon; expected ", field, ": ",
                   value, " for the first one, or TENSORFLOW for the second"));
}

InvertedResidualNames MmpretrainNames(const std::string& block) {
  return {.expand = MmpretrainConvBn(block + ".expand_conv"),
          .depthwise = MmpretrainConvBn(block + ".depthwise_conv"),
          .project = MmpretrainConvBn(block + ".linear_conv"),
          .squeeze = {block + ".se.conv1.conv", block + ".se.conv2.conv"}};
}

InvertedResidualNames TorchvisionNames(const std::string& block, bool expands, bool squeezes) {
  int layer = 0;
  const auto next = [&] { return absl::StrCat(block, ".", layer++); };
  InvertedResidualNames names;
  if (expands) names.expand = TorchvisionConvBn(next());
  names.depthwise = TorchvisionConvBn(next());
  if (squeezes) {
    const std::string squeeze = next();
    names.squeeze = {squeeze + ".fc1", squeeze + ".fc2"};
  }
  names.project = TorchvisionConvBn(next());
  return names;
}

at::Tensor RunInvertedResidual(const at::Tensor& x, const InvertedResidual& block,
                               const StagePass& pass) {
  at::Tensor y = x;
  if (block.expand.has_value()) y = ConvBnAct(y, *block.expand, {}, block.activation, pass);
  if (block.depthwise.has_value()) {
    y = ConvBnAct(y, *block.depthwise, {}, block.activation, pass);
  }
  if (block.squeeze.has_value()) y = SqueezeAndExcite(y, *block.squeeze, pass);
  const bool draws = block.adds_input && pass.trained && block.drop_path > 0;
  if (block.project.has_value()) {
    const at::Tensor residual = block.adds_input && !draws ? x : at::Tensor();
    y = ConvBnAct(y, *block.project, residual, Activation::kNone, pass);
    if (!draws) return y;
  }
  if (!block.adds_input) return y;
  if (draws) y = DropPath(y, block.drop_path, pass.seed, pass.context, block.index);
  // A frozen stage may have given x in another type.
  return x.to(y.scalar_type()) + y;
}

at::Tensor InvertedResidualLayers::RunStage(int stage, at::Tensor x, const StagePass& pass) const {
  if (stage == 0) return ConvBnAct(x, stem, {}, activation, pass);
  for (const InvertedResidual& block : stages[stage - 1]) x = RunInvertedResidual(x, block, pass);
  return stage == static_cast<int>(stages.size()) ? ConvBnAct(x, last, {}, activation, pass) : x;
}

}  // namespace finetune
