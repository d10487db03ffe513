#include "src/model/builder.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "src/base/fnv.h"

namespace finetune {
namespace {

// Returns the bound of PyTorch's default initialisation.
double UniformBound(int64_t fan_in) { return 1 / std::sqrt(static_cast<double>(fan_in)); }

}  // namespace

int64_t ScaledWidth(int64_t channels, double factor) {
  const double exact = static_cast<double>(channels) * factor;
  const int64_t rounded = std::max<int64_t>(8, static_cast<int64_t>(exact + 4) / 8 * 8);
  return static_cast<double>(rounded) < 0.9 * exact ? rounded + 8 : rounded;
}

at::Generator LayerBuilder::GeneratorOf(const std::string& name) const {
  return at::detail::createCPUGenerator(Fnv1a(name, kFnvStart ^ (seed_ * 0x9E3779B97F4A7C15ULL)));
}

at::Tensor LayerBuilder::Add(const std::string& name, at::Tensor value) {
  value = value.to(device_);
  if (value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
  value.set_requires_grad(trained_);
  parameters_.push_back({name, value});
  return value;
}

at::Tensor LayerBuilder::Add(const std::string& name, int64_t size, double value) {
  return Add(name, at::full({size}, value, at::kFloat));
}

at::Tensor LayerBuilder::AddBuffer(const std::string& name, const at::Tensor& value) {
  buffers_.push_back({name, value.to(device_)});
  return buffers_.back().tensor;
}

at::Tensor LayerBuilder::AddNormal(const std::string& name, at::IntArrayRef shape,
                                   double deviation) {
  return Add(name, at::empty(shape).normal_(0, deviation, GeneratorOf(name)));
}

at::Tensor LayerBuilder::AddUniform(const std::string& name, at::IntArrayRef shape, double bound) {
  return Add(name, at::empty(shape).uniform_(-bound, bound, GeneratorOf(name)));
}

void LayerBuilder::AlsoNamed(const std::string& layer, std::initializer_list<std::string> others) {
  for (const std::string& other : others) other_names_[other] = layer;
}

void LayerBuilder::AlsoNamed(const ConvBnNames& layers, std::initializer_list<ConvBnNames> others) {
  for (const auto& [conv, bn] : others) {
    other_names_[conv] = layers.conv;
    other_names_[bn] = layers.bn;
  }
}

Conv LayerBuilder::MakeConvWithoutBias(const std::string& name, const ConvShape& shape) {
  const auto [in, out, kernel, stride, padding, groups, same, bias] = shape;
  const double fan_out = static_cast<double>(out * kernel * kernel / groups);
  return {.weight = AddNormal(name + ".weight", {out, in / groups, kernel, kernel},
                              std::sqrt(2.0 / fan_out)),
          .stride = stride,
          .padding = padding,
          .groups = groups,
          .same = same};
}

BatchNorm LayerBuilder::MakeBatchNorm(const std::string& name, int64_t channels,
                                      const BatchNormSettings& settings, double gamma) {
  return {.gamma = Add(name + ".weight", channels, gamma),
          .beta = Add(name + ".bias", channels, 0),
          .running_mean = AddBuffer(name + ".running_mean", at::zeros({channels})),
          .running_var = AddBuffer(name + ".running_var", at::ones({channels})),
          .num_batches_tracked = AddBuffer(name + ".num_batches_tracked", at::zeros({}, at::kLong)),
          .settings = settings};
}

ConvBn LayerBuilder::MakeConvBn(const ConvBnNames& names, const ConvShape& shape,
                                const BatchNormSettings& settings, double gamma) {
  ConvBn layer;
  layer.conv = MakeConvWithoutBias(names.conv, shape);
  if (shape.bias) layer.conv.bias = Add(names.conv + ".bias", shape.out, 0);
  layer.norm = MakeBatchNorm(names.bn, shape.out, settings, gamma);
  folded_.push_back(layer.folded);
  return layer;
}

BareConv LayerBuilder::MakeBareConv(const std::string& name, const ConvShape& shape) {
  BareConv layer{MakeConvWithoutBias(name, shape)};
  folded_.push_back(layer.packed);
  return layer;
}

SqueezeExciteLayer LayerBuilder::MakeSqueezeExcite(const SqueezeExciteNames& names,
                                                   int64_t channels, int64_t squeezed,
                                                   Activation activation, Gate gate) {
  const auto weight = [&](const std::string& name, int64_t in, int64_t out) {
    return AddNormal(name + ".weight", {out, in, 1, 1}, std::sqrt(2.0 / static_cast<double>(out)));
  };
  const auto bias = [&](const std::string& name, int64_t out) {
    return Add(name + ".bias", out, 0);
  };
  SqueezeExciteLayer layer;
  layer.weights.reduce = weight(names.reduce, channels, squeezed);
  layer.weights.reduce_bias = bias(names.reduce, squeezed);
  layer.weights.expand = weight(names.expand, squeezed, channels);
  layer.weights.expand_bias = bias(names.expand, channels);
  layer.activation = activation;
  layer.gate = gate;
  return layer;
}

Conv LayerBuilder::MakeConv(const std::string& name, const ConvShape& shape) {
  const auto [in, out, kernel, stride, padding, groups, same, bias] = shape;
  const double bound = UniformBound(in / groups * kernel * kernel);
  return {AddUniform(name + ".weight", {out, in / groups, kernel, kernel}, bound),
          AddUniform(name + ".bias", {out}, bound),
          stride,
          padding,
          groups,
          same};
}

Linear LayerBuilder::MakeLinear(const std::string& name, int64_t in, int64_t out) {
  const double bound = UniformBound(in);
  return {AddUniform(name + ".weight", {out, in}, bound), AddUniform(name + ".bias", {out}, bound)};
}

Linear LayerBuilder::MakeNormalLinear(const std::string& name, int64_t in, int64_t out,
                                      double deviation, bool with_bias) {
  return {AddNormal(name + ".weight", {out, in}, deviation),
          with_bias ? Add(name + ".bias", out, 0) : at::Tensor()};
}

Conv LayerBuilder::MakeNormalConv(const std::string& name, const ConvShape& shape,
                                  double deviation) {
  const auto [in, out, kernel, stride, padding, groups, same, bias] = shape;
  return {AddNormal(name + ".weight", {out, in / groups, kernel, kernel}, deviation),
          Add(name + ".bias", out, 0),
          stride,
          padding,
          groups,
          same};
}

LayerNorm LayerBuilder::MakeLayerNorm(const std::string& name, int64_t channels, double epsilon) {
  return {Add(name + ".weight", channels, 1), Add(name + ".bias", channels, 0), epsilon};
}

GlobalResponseNorm LayerBuilder::MakeGlobalResponseNorm(const std::string& name, int64_t channels) {
  return {Add(name + ".gamma", channels, 0), Add(name + ".beta", channels, 0)};
}

}  // namespace finetune
