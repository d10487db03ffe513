#include "src/model/builder.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <utility>

#include "src/base/fnv.h"

namespace finetune {
namespace {

at::Generator GeneratorOf(uint64_t seed, const std::string& name) {
  return at::detail::createCPUGenerator(Fnv1a(name, kFnvStart ^ (seed * 0x9E3779B97F4A7C15ULL)));
}

}  // namespace

at::Tensor ModelBuilder::Add(const std::string& name, at::Tensor value) {
  value = value.to(options_.device);
  if (value.dim() == 4) value = value.contiguous(at::MemoryFormat::ChannelsLast);
  value.set_requires_grad(trained_);
  parameters_.push_back({name, value});
  return value;
}

at::Tensor ModelBuilder::AddBuffer(const std::string& name, const at::Tensor& value) {
  buffers_.push_back({name, value.to(options_.device)});
  return buffers_.back().tensor;
}

at::Tensor ModelBuilder::MakeNormal(const std::string& name, at::IntArrayRef shape, double std) {
  at::Tensor value = at::zeros(shape);
  if (std > 0) value.normal_(0, std, GeneratorOf(options_.seed, name));
  return Add(name, value);
}

at::Tensor ModelBuilder::MakeUniform(const std::string& name, at::IntArrayRef shape, double bound) {
  return Add(name, at::empty(shape).uniform_(-bound, bound, GeneratorOf(options_.seed, name)));
}

ConvBn ModelBuilder::MakeConvBn(const std::string& conv, const std::string& bn, int64_t in,
                                int64_t out, int64_t kernel, int64_t stride, double gamma) {
  ConvBn layer;
  layer.stride = stride;
  layer.padding = kernel / 2;
  const double fan_out = static_cast<double>(out * kernel * kernel);
  layer.weight = MakeNormal(conv + ".weight", {out, in, kernel, kernel}, std::sqrt(2.0 / fan_out));
  layer.gamma = Add(bn + ".weight", at::full({out}, gamma, at::kFloat));
  layer.beta = Add(bn + ".bias", at::zeros({out}));
  layer.running_mean = AddBuffer(bn + ".running_mean", at::zeros({out}));
  layer.running_var = AddBuffer(bn + ".running_var", at::ones({out}));
  layer.num_batches_tracked = AddBuffer(bn + ".num_batches_tracked", at::zeros({}, at::kLong));
  return layer;
}

}  // namespace finetune
