// Tests ResNet's other promises (agreement_test.cc compares its numbers with PyTorch): frozen
// tensors do not change, both engines agree, cached foldings are never stale, any batch size works.

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/testing.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

std::string ResNet(const std::string& resnet, const std::string& backbone = "") {
  return absl::StrCat("backbone { resnet { ", resnet, " } ", backbone,
                      " } head { num_classes: 3 }");
}

constexpr char kSmall[] = "depth: 18 base_channels: 4 stem: CIFAR";
constexpr char kSmallBottleneck[] = "depth: 50 base_channels: 4";

at::Tensor Images(int64_t n, int64_t size = 16) {
  return ByFormula("images", {n, 3, size, size}, 2).contiguous(at::MemoryFormat::ChannelsLast);
}

std::map<std::string, at::Tensor> Copy(const TensorList& tensors) {
  std::map<std::string, at::Tensor> copy;
  for (const NamedTensor& tensor : tensors) copy[tensor.name] = tensor.tensor.detach().clone();
  return copy;
}

std::string ErrorOf(const std::function<void()>& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  return "no error";
}

TEST(ResNet, CountsTheBatchesThatItsStatisticsHaveSeen) {
  const auto model = MakeModel(ResNet(kSmall, "frozen_stages: 1"));
  for (int i = 0; i < 3; ++i) ForwardAndBackward(model.get(), Images(2));
  // FillByFormula() sets the counters to 7.
  EXPECT_EQ(Named(*model, "backbone.bn1.num_batches_tracked").item<int64_t>(), 7);
  EXPECT_EQ(Named(*model, "backbone.layer2.0.bn1.num_batches_tracked").item<int64_t>(), 10);
}

TEST(ResNet, NormEvalTrainsScalesByRunningStatisticsThatStay) {
  const auto model = MakeModel(ResNet(kSmall, "norm_eval: true"));
  const auto before = Copy(model->buffers());
  ForwardAndBackward(model.get(), Images(2));
  for (const NamedTensor& buffer : model->buffers()) {
    EXPECT_TRUE(at::equal(buffer.tensor, before.at(buffer.name))) << buffer.name;
  }
  for (const NamedTensor& parameter : model->parameters()) {
    EXPECT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
  }
  // An image's result does not depend on the other images.
  const at::Tensor two = model->Forward(Images(2), kTraining),
                   one = model->Forward(Images(1), kTraining);
  EXPECT_LT(RelativeError(two.narrow(0, 0, 1), one), 1e-5);
}

TEST(ResNet, EvaluationChangesNothingAndRecordsNothing) {
  for (const bool fused : {false, true}) {
    const auto model = MakeModel(ResNet(kSmall), EngineOptions(fused));
    const auto before = Copy(model->State());
    const at::Tensor images = Images(2);
    const at::Tensor copy = images.clone();
    const at::Tensor logits = model->Forward(images, kEvaluation);
    EXPECT_FALSE(logits.requires_grad());
    EXPECT_TRUE(at::equal(images, copy));
    EXPECT_TRUE(at::equal(logits, model->Forward(images, kEvaluation)));
    for (const NamedTensor& tensor : model->State()) {
      EXPECT_TRUE(at::equal(tensor.tensor, before.at(tensor.name))) << tensor.name;
    }
  }
}

TEST(ResNet, EnginesAgreeInFloat32) {
  for (const std::string& config : {ResNet(kSmall), ResNet(kSmallBottleneck)}) {
    const auto plain = MakeModel(config, EngineOptions(false)),
               fused = MakeModel(config, EngineOptions(true));
    const at::Tensor images = Images(3, 64);
    EXPECT_LT(
        RelativeError(fused->Forward(images, kEvaluation), plain->Forward(images, kEvaluation)),
        1e-5);
  }
}

// The reference is float32. PLAIN rounds to bfloat16 (by up to 2^-9 of a value) after every
// operator. FUSED rounds only after every convolution, but rounds weights after batch norms are
// folded into them. On a CPU that cannot multiply bfloat16, FUSED evaluates the rounded images in
// float32.
TEST(ResNet, EnginesAgreeInBfloat16AsFarAsItsRoundingGoes) {
  for (const std::string& config : {ResNet(kSmall), ResNet(kSmallBottleneck)}) {
    const at::Tensor images = Images(4, 64);
    const at::Tensor exact = MakeModel(config, EngineOptions(false))->Forward(images, kEvaluation);
    const double plain = RelativeError(
        MakeModel(config, EngineOptions(false, true))->Forward(images, kEvaluation), exact);
    const double fused = RelativeError(
        MakeModel(config, EngineOptions(true, true))->Forward(images, kEvaluation), exact);
    EXPECT_GT(plain, 1e-4) << "it was not in bfloat16";
    EXPECT_GT(fused, 2e-5) << "it was not in bfloat16";
    EXPECT_LT(plain, 0.03);
    EXPECT_LT(fused, 0.03);
  }
}

TEST(ResNet, TrainsInBfloat16WithGradientsInFloat32) {
  ExpectBfloat16TrainsWithFloat32Gradients(ResNet(kSmallBottleneck, "frozen_stages: 1"),
                                           Images(8, 64));
}

TEST(ResNet, TakesImagesOfAnyTypeAndLayout) {
  for (const bool bfloat16 : {false, true}) {
    const auto model = MakeModel(ResNet(kSmall), EngineOptions(true, bfloat16));
    const at::Tensor images = Images(2).to(at::kBFloat16);
    const at::Tensor expected = model->Forward(images, kEvaluation);
    EXPECT_EQ(expected.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(model->Forward(images.to(at::kFloat), kEvaluation), expected));
    EXPECT_TRUE(at::equal(
        model->Forward(images.contiguous(at::MemoryFormat::Contiguous), kEvaluation), expected));
  }
}

TEST(ResNet, TakesBatchesOfChangingSizesEvenOfNone) {
  const auto plain = MakeModel(ResNet(kSmallBottleneck), EngineOptions(false));
  for (const bool bfloat16 : {false, true}) {
    const auto fused = MakeModel(ResNet(kSmallBottleneck), EngineOptions(true, bfloat16));
    for (const auto& [n, size] : {std::pair{4, 32}, {1, 32}, {0, 32}, {3, 64}, {4, 32}, {2, 33}}) {
      const at::Tensor images = Images(n, size);
      const at::Tensor logits = fused->Forward(images, kEvaluation);
      ASSERT_EQ(logits.sizes(), at::IntArrayRef({n, 3}));
      if (n > 0) {
        EXPECT_LT(RelativeError(logits, plain->Forward(images, kEvaluation)),
                  bfloat16 ? 0.05 : 1e-5)
            << n << " of " << size;
      }
    }
  }
}

// With norm_eval the batch norms use the running statistics, so an image's result does not depend
// on the other images of its pass, and so not on the number of ranks.
TEST(ResNet, DropPathDrawsByIterationAndImageAndOnlyInTraining) {
  for (const std::string variant : {"", " se_ratio: 4"}) {
    SCOPED_TRACE(variant);
    const auto model = MakeModel(ResNet(kSmall + variant + " drop_path: 0.5", "norm_eval: true"));
    const auto without = MakeModel(ResNet(kSmall + variant, "norm_eval: true"));
    const at::Tensor images = Images(4);
    const std::vector<int64_t> indices = {7, 3, 12, 1};
    const auto run = [&](int64_t iteration, int64_t begin, int64_t count) {
      return model
          ->Forward(images.narrow(0, begin, count),
                    {.training = true,
                     .iteration = iteration,
                     .indices = absl::MakeConstSpan(indices).subspan(begin, count)})
          .detach();
    };
    const at::Tensor whole = run(0, 0, 4);
    EXPECT_LT(RelativeError(run(0, 1, 2), whole.narrow(0, 1, 2)), 1e-5) << "in another part";
    EXPECT_GT(RelativeError(run(1, 0, 4), whole), 1e-3) << "in another iteration";
    EXPECT_TRUE(
        at::equal(model->Forward(images, kEvaluation), without->Forward(images, kEvaluation)));
  }
}

TEST(ResNet, EnginesAgreeWithDropPath) {
  const std::string config = ResNet(std::string(kSmallBottleneck) + " drop_path: 0.5");
  const auto plain = MakeModel(config, EngineOptions(false)),
             fused = MakeModel(config, EngineOptions(true));
  const at::Tensor images = Images(4, 32);
  const std::vector<int64_t> indices = {7, 3, 12, 1};
  const ForwardContext context = {
      .training = true, .iteration = 3, .indices = absl::MakeConstSpan(indices)};
  EXPECT_LT(RelativeError(fused->Forward(images, context), plain->Forward(images, context)), 1e-4);
}

TEST(ResNet, NoImagesGiveNoGradientAndLeaveStatisticsAlone) {
  for (const bool bfloat16 : {false, true}) {
    const auto model =
        MakeModel(ResNet(kSmallBottleneck, "frozen_stages: 1"), EngineOptions(true, bfloat16));
    const auto before = Copy(model->buffers());
    ForwardAndBackward(model.get(), Images(0, 64));
    for (const NamedTensor& parameter : model->parameters()) {
      if (!parameter.tensor.grad().defined()) continue;
      EXPECT_EQ(parameter.tensor.grad().abs().sum().item<float>(), 0) << parameter.name;
    }
    for (const NamedTensor& buffer : model->buffers()) {
      EXPECT_TRUE(at::equal(buffer.tensor, before.at(buffer.name))) << buffer.name;
    }
  }
}

TEST(ResNet, FollowsParametersThatMove) {
  const auto moved = MakeModel(ResNet(kSmall)), fresh = MakeModel(ResNet(kSmall));
  for (const NamedTensor& parameter : moved->parameters()) {
    at::Tensor flat = at::empty({parameter.tensor.numel()});
    at::Tensor place = flat.as_strided(parameter.tensor.sizes(), parameter.tensor.strides());
    place.copy_(parameter.tensor.detach());
    parameter.tensor.set_data(place);
    place.mul_(0.5);
  }
  moved->ParametersChanged(/*all=*/true);
  {
    const at::NoGradGuard no_grad;
    for (const NamedTensor& p : fresh->parameters()) p.tensor.mul_(0.5);
  }
  fresh->ParametersChanged(/*all=*/true);
  EXPECT_TRUE(
      at::equal(moved->Forward(Images(2), kTraining), fresh->Forward(Images(2), kTraining)));
  EXPECT_TRUE(
      at::equal(moved->Forward(Images(2), kEvaluation), fresh->Forward(Images(2), kEvaluation)));
}

TEST(ResNet, WhatIsFoldedIsFreshAfterATrainingStepAndAfterBeingToldOfAChange) {
  const std::string config = ResNet(kSmall, "frozen_stages: 1");
  const auto fused = MakeModel(config, EngineOptions(true)),
             plain = MakeModel(config, EngineOptions(false));
  const at::Tensor images = Images(3);
  const auto expect_agreement = [&](const char* when) {
    EXPECT_LT(
        RelativeError(fused->Forward(images, kEvaluation), plain->Forward(images, kEvaluation)),
        1e-5)
        << when;
  };
  expect_agreement("at first");
  for (Classifier* model : {fused.get(), plain.get()}) ForwardAndBackward(model, images);
  expect_agreement("after statistics moved");
  for (Classifier* model : {fused.get(), plain.get()}) {
    const at::NoGradGuard no_grad;
    Named(*model, "backbone.layer3.0.conv1.weight").mul_(2);
    Named(*model, "backbone.layer4.0.bn1.bias").add_(1);
    model->ParametersChanged(/*all=*/false);
  }
  expect_agreement("after trained parameters changed");
  for (Classifier* model : {fused.get(), plain.get()}) {
    const at::NoGradGuard no_grad;
    Named(*model, "backbone.conv1.weight").mul_(-1);
    model->ParametersChanged(/*all=*/true);
  }
  expect_agreement("after frozen parameters changed");
}

// On these shapes oneDNN's own backward pass crashes or gives wrong gradients.
TEST(ResNet, GradientsOfNarrowStridedConvolutionsAreThoseOfLibTorchsOwnKernels) {
  for (const char* kind : {"depth: 18 stem: CIFAR base_channels: 4",
                           "depth: 50 style: CAFFE stem: CIFAR base_channels: 3"}) {
    const auto model = MakeModel(ResNet(kind)), reference = MakeModel(ResNet(kind));
    ForwardAndBackward(model.get(), Images(4, 64));
    at::globalContext().setUserEnabledMkldnn(false);
    ForwardAndBackward(reference.get(), Images(4, 64));
    at::globalContext().setUserEnabledMkldnn(true);
    for (const NamedTensor& parameter : reference->parameters()) {
      EXPECT_LT(RelativeError(Named(*model, parameter.name).grad(), parameter.tensor.grad()), 1e-3)
          << parameter.name;
    }
  }
}

// The order of the gradient buckets relies on this.
TEST(ResNet, BackwardReachesLayersInTheReverseOfParameters) {
  for (const char* kind : {kSmall, kSmallBottleneck}) {
    const auto model = MakeModel(ResNet(kind, "frozen_stages: 0"));
    const auto layer = [](const std::string& name) { return name.substr(0, name.rfind('.')); };
    std::vector<std::string> expected, seen;
    for (const NamedTensor& parameter : model->parameters()) {
      if (!parameter.tensor.requires_grad()) continue;
      const std::string name = layer(parameter.name);
      if (expected.empty() || expected.back() != name) expected.push_back(name);
      parameter.tensor.register_hook([&seen, name](const at::Tensor&) {
        if (seen.empty() || seen.back() != name) seen.push_back(name);
      });
    }
    std::reverse(expected.begin(), expected.end());
    ForwardAndBackward(model.get(), Images(2, 64));
    EXPECT_EQ(seen, expected);
  }
}

TEST(ResNet, StartsTheSameForTheSameSeedWhateverTheThreads) {
  ModelConfig config;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(ResNet("depth: 18 base_channels: 16"),
                                                            &config));
  const auto make = [&](uint64_t seed, int threads) {
    at::set_num_threads(threads);
    ClassifierOptions options;
    options.seed = seed;
    return Copy((*Classifier::Create(config, options))->State());
  };
  const auto one = make(1, 1), again = make(1, 2), other = make(2, 2);
  for (const auto& [name, value] : one) {
    EXPECT_TRUE(at::equal(value, again.at(name))) << name;
    const bool random = value.dim() > 1;
    EXPECT_EQ(at::equal(value, other.at(name)), !random) << name;
  }
  EXPECT_FALSE(at::equal(one.at("backbone.layer1.0.conv1.weight"),
                         one.at("backbone.layer1.0.conv2.weight")));
}

TEST(ResNet, StartsAsMmpretrainDoes) {
  for (const bool zero_init : {false, true}) {
    ModelConfig config;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
        ResNet(absl::StrCat("depth: 50 base_channels: 32 zero_init_residual: ",
                            zero_init ? "true" : "false")),
        &config));
    const auto model = *Classifier::Create(config, {});
    for (const NamedTensor& parameter : model->parameters()) {
      const at::Tensor& value = parameter.tensor;
      if (value.dim() == 4) {
        // He (Kaiming) initialisation by fan-out. The measured standard deviation of n numbers has
        // a relative error of about 1 / sqrt(2 n).
        const double fan_out = static_cast<double>(value.size(0) * value.size(2) * value.size(3));
        const double std = std::sqrt(2 / fan_out);
        EXPECT_NEAR(value.std().item<double>(), std,
                    5 * std / std::sqrt(2.0 * static_cast<double>(value.numel())))
            << parameter.name;
        EXPECT_NEAR(value.mean().item<double>(), 0,
                    5 * std / std::sqrt(static_cast<double>(value.numel())))
            << parameter.name;
      } else if (parameter.name == "head.fc.weight") {
        EXPECT_NEAR(value.std().item<double>(), 0.01, 0.001);
      } else {
        const bool last = absl::StrContains(parameter.name, ".bn3.weight");
        const double expected =
            absl::EndsWith(parameter.name, "weight") && !(last && zero_init) ? 1 : 0;
        EXPECT_TRUE((value == expected).all().item<bool>()) << parameter.name;
      }
    }
  }
}

TEST(ResNet, SaysWhichImagesItTakes) {
  const auto model = MakeModel(ResNet(kSmallBottleneck));
  EXPECT_THAT(ErrorOf([&] {
                model->Forward(at::zeros({2, 1, 32, 32}), kEvaluation);
              }),
              HasSubstr("found images with 1 channel; ResNet-50 takes images with 3 channels: add "
                        "grayscale { channels: 3 } to the pipeline"));
  EXPECT_THAT(ErrorOf([&] {
                model->Forward(at::zeros({3, 32, 32}), kEvaluation);
              }),
              HasSubstr("expected images as [N, C, H, W], found [3, 32, 32]"));
  EXPECT_THAT(ErrorOf([&] { model->Forward(Images(1, 32), kTraining); }),
              HasSubstr("expected two images or more in each pass"));
  const auto lenet = MakeModel("backbone { lenet5 {} } head { num_classes: 3 }");
  EXPECT_THAT(
      ErrorOf([&] {
        lenet->Forward(at::zeros({2, 1, 28, 28}), kEvaluation);
      }),
      HasSubstr("found images of 28x28 with 1 channel; LeNet-5 takes images of 32x32 with 1 "
                "channel; end the pipeline with a resize or crop to size 32"));
}

// For each image size, LeastBatchNormValues() is 1 exactly where training on one image fails.
TEST(ResNet, KnowsWhichImagesLeaveBatchNormOneValue) {
  for (const char* stem : {"IMAGENET", "CIFAR", "DEEP"}) {
    const auto model =
        MakeModel(absl::StrCat("backbone { resnet { depth: 18 base_channels: 2 stem: ", stem,
                               " } } head { num_classes: 3 }"));
    for (const int side : {8, 9, 32, 33}) {
      const int64_t values = model->LeastBatchNormValues(side, side);
      const std::string error = ErrorOf([&] { model->Forward(Images(1, side), kTraining); });
      EXPECT_EQ(values == 1, error != "no error") << stem << " " << side << ": " << error;
    }
  }
  for (const char* kept : {"norm_eval: true", "frozen_stages: 4"}) {
    const auto model = MakeModel(absl::StrCat("backbone { resnet { depth: 18 base_channels: 2 } ",
                                              kept, " } head { num_classes: 3 }"));
    EXPECT_EQ(model->LeastBatchNormValues(8, 8), 0) << kept;
  }
}

TEST(Classifier, RefusesConfigsThatMakeNoModel) {
  const auto error = [](const std::string& text) {
    ModelConfig config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
    const absl::Status status = Classifier::Create(config, {}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    return std::string{status.message()};
  };
  EXPECT_THAT(error("head { num_classes: 3 }"), HasSubstr("model.backbone: has no kind"));
  EXPECT_THAT(
      error("backbone { resnet { depth: 51 } } head { num_classes: 3 }"),
      HasSubstr("model.backbone.resnet.depth: is 51; expected one of 18, 34, 50, 101, 152"));
  EXPECT_THAT(error("backbone { resnet {} } head { num_classes: 1 }"),
              HasSubstr("model.head.num_classes: is 1; expected 2 to 1048576"));
  EXPECT_THAT(error("backbone { resnet {} frozen_stages: 5 } head { num_classes: 3 }"),
              HasSubstr("model.backbone.frozen_stages: is 5; expected -1 to 4"));
  EXPECT_THAT(error("backbone { resnet {} } neck { kind: NONE } head { num_classes: 3 }"),
              HasSubstr("model.neck.kind: is NONE"));
  EXPECT_THAT(error("backbone { lenet5 {} frozen_stages: 3 } head { num_classes: 3 }"),
              HasSubstr("expected -1 to 2: LeNet-5 has 2 stages behind its stem"));
}

}  // namespace
}  // namespace finetune
