#include "src/model/testing.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <google/protobuf/text_format.h>

#include <cmath>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "src/model/loss.h"

namespace finetune {
at::Tensor ValueOf(const std::string& name, at::IntArrayRef shape, double gain) {
  if (absl::EndsWith(name, "num_batches_tracked")) return at::empty({}, at::kLong).fill_(7);
  if (absl::EndsWith(name, "running_var")) return ByFormula(name, shape, 0.5, 1);
  if (absl::EndsWith(name, "running_mean") || absl::EndsWith(name, "bias")) {
    return ByFormula(name, shape, 0.5);
  }
  if (shape.size() == 1) {
    return absl::EndsWith(name, ".bn3.weight") && gain == 1 ? ByFormula(name, shape, 0.05, 0.2)
                                                            : ByFormula(name, shape, 0.25, 1);
  }
  const int64_t fan_in = c10::multiply_integers(shape.slice(1));
  const double factor = shape.size() == 4 ? gain : 1;
  return ByFormula(name, shape, factor * std::sqrt(3.0 / static_cast<double>(fan_in)));
}

void FillByFormula(Classifier* model, double gain) {
  const at::NoGradGuard no_grad;
  for (const NamedTensor& tensor : model->State()) {
    tensor.tensor.copy_(ValueOf(tensor.name, tensor.tensor.sizes(), gain));
  }
  model->ParametersChanged(/*all=*/true);
}

std::unique_ptr<Classifier> MakeModel(const std::string& config, const ClassifierOptions& options,
                                      double gain) {
  ModelConfig parsed;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(config, &parsed)) << config;
  absl::StatusOr<std::unique_ptr<Classifier>> model = Classifier::Create(parsed, options);
  EXPECT_TRUE(model.ok()) << model.status();
  if (!model.ok()) return nullptr;
  FillByFormula(model->get(), gain);
  return *std::move(model);
}

at::Tensor Named(const Classifier& model, const std::string& name) {
  for (const NamedTensor& tensor : model.State()) {
    if (tensor.name == name) return tensor.tensor;
  }
  ADD_FAILURE() << "the model has no " << name;
  return {};
}

ClassifierOptions EngineOptions(bool fused, bool bfloat16) {
  ClassifierOptions options;
  options.mode.fused = fused;
  options.mode.bfloat16 = bfloat16;
  return options;
}

void ForwardAndBackward(Classifier* model, const at::Tensor& images) {
  const at::Tensor labels = images.new_zeros({images.size(0)}, at::kLong);
  CrossEntropySum(model->Forward(images, kTraining), labels, 0).backward();
}

void ExpectBfloat16TrainsWithFloat32Gradients(const std::string& config, const at::Tensor& images,
                                              double gain) {
  const auto exact = MakeModel(config, EngineOptions(false), gain);
  ForwardAndBackward(exact.get(), images);
  for (const bool fused : {false, true}) {
    const auto model = MakeModel(config, EngineOptions(fused, true), gain);
    ForwardAndBackward(model.get(), images);
    for (const NamedTensor& parameter : model->parameters()) {
      if (!parameter.tensor.requires_grad()) continue;
      EXPECT_EQ(parameter.tensor.grad().scalar_type(), at::kFloat) << parameter.name;
    }
    // The head is made last: a weight, then a bias.
    const std::string& weight = model->parameters()[model->parameters().size() - 2].name;
    EXPECT_LT(RelativeError(Named(*model, weight).grad(), Named(*exact, weight).grad()), 0.05);
  }
}

}  // namespace finetune
