#include "src/model/testing.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "src/base/fnv.h"

namespace finetune {
namespace {

// splitmix64 of consecutive integers, started at the name's FNV-1a hash.
class Hashes {
 public:
  explicit Hashes(const std::string& name) : state_(Fnv1a(name)) {}
  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

at::Tensor ValueOf(const std::string& name, const at::Tensor& like) {
  if (absl::EndsWith(name, "num_batches_tracked")) return at::empty({}, at::kLong).fill_(7);
  if (absl::EndsWith(name, "running_var")) return ByFormula(name, like.sizes(), 0.5, 1);
  if (absl::EndsWith(name, "running_mean") || absl::EndsWith(name, "bias")) {
    return ByFormula(name, like.sizes(), 0.5);
  }
  if (like.dim() == 1) {
    return absl::EndsWith(name, ".bn3.weight") ? ByFormula(name, like.sizes(), 0.05, 0.2)
                                               : ByFormula(name, like.sizes(), 0.25, 1);
  }
  const int64_t fan_in = like.numel() / like.size(0);
  return ByFormula(name, like.sizes(), std::sqrt(3.0 / static_cast<double>(fan_in)));
}

}  // namespace

at::Tensor ByFormula(const std::string& name, at::IntArrayRef shape, double scale, double offset) {
  at::Tensor tensor = at::empty(shape, at::kFloat);
  Hashes hashes(name);
  float* const data = tensor.mutable_data_ptr<float>();
  for (int64_t i = 0; i < tensor.numel(); ++i) {
    const double u = static_cast<double>(hashes.Next() >> 40) / (1 << 23) - 1.0;
    data[i] = static_cast<float>(offset + scale * u);
  }
  return tensor;
}

void FillByFormula(Classifier* model) {
  const at::NoGradGuard no_grad;
  for (const NamedTensor& tensor : model->State()) {
    tensor.tensor.copy_(ValueOf(tensor.name, tensor.tensor));
  }
  model->ParametersChanged(/*all=*/true);
}

std::unique_ptr<Classifier> MakeModel(const std::string& config, const ClassifierOptions& options) {
  ModelConfig parsed;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(config, &parsed)) << config;
  absl::StatusOr<std::unique_ptr<Classifier>> model = Classifier::Create(parsed, options);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return nullptr;
  FillByFormula(model->get());
  return *std::move(model);
}

double RelativeError(const at::Tensor& actual, const at::Tensor& expected) {
  const at::NoGradGuard no_grad;
  const at::Tensor truth = expected.to(at::kDouble);
  return actual.to(truth.device(), at::kDouble).sub(truth).norm().item<double>() /
         truth.norm().item<double>();
}

at::Tensor Named(const Classifier& model, const std::string& name) {
  for (const NamedTensor& tensor : model.State()) {
    if (tensor.name == name) return tensor.tensor;
  }
  ADD_FAILURE() << "the model has no " << name;
  return {};
}

}  // namespace finetune
