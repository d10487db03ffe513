#include "src/train/optimizer_state.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

// Two parameters with a gap between them in the contiguous memory; the second one is channels-last.
const std::vector<ParameterSpan> kSpans = {{"bias", 0, 3}, {"weight", 4, 12}};

TensorList Parameters() {
  return {{"bias", at::zeros({3})},
          {"weight", at::zeros({2, 3, 1, 2}).contiguous(at::MemoryFormat::ChannelsLast)}};
}

std::unique_ptr<Optimizer> MakeSgd() {
  OptimizerConfig config;
  config.mutable_sgd()->set_lr(0.1);
  return *CreateOptimizer(config, kSpans, at::zeros({16}));
}

Value::Dict Momentum(const at::Tensor& bias, const at::Tensor& weight) {
  Value::Dict momentum;
  momentum.Append("bias", bias);
  momentum.Append("weight", weight);
  return momentum;
}

// Returns a checkpoint's optimizer entry in the format that finetune has written since its first
// version.
Value Entry(const std::string& kind, Value::Dict momentum) {
  Value::Dict entry;
  entry.Append("kind", kind);
  entry.Append("momentum", std::move(momentum));
  return entry;
}

TEST(OptimizerStateTest, EntryHasKindAndStateByParameter) {
  const std::unique_ptr<Optimizer> sgd = MakeSgd();
  sgd->State()[0].tensor.copy_(at::arange(16));
  const Value entry = OptimizerToValue(*sgd, Parameters());
  EXPECT_EQ(*entry.GetString("kind"), "sgd");
  const auto momentum = entry.GetTensors("momentum");
  ASSERT_TRUE(momentum.ok()) << momentum.status();
  ASSERT_EQ(momentum->size(), 2u);
  EXPECT_EQ((*momentum)[0].name, "bias");
  EXPECT_TRUE((*momentum)[0].tensor.equal(at::arange(3).to(at::kFloat)));
  EXPECT_EQ((*momentum)[1].name, "weight");
  // The saved tensor has the parameter's shape and its channels-last memory order.
  EXPECT_EQ((*momentum)[1].tensor.sizes(), at::IntArrayRef({2, 3, 1, 2}));
  EXPECT_EQ((*momentum)[1].tensor[0][1][0][0].item<float>(), 5);
}

TEST(OptimizerStateTest, RestoredStateHasTheSameBits) {
  const std::unique_ptr<Optimizer> saved = MakeSgd(), restored = MakeSgd();
  saved->State()[0].tensor.copy_(at::arange(16).div(3));
  const absl::Status status =
      RestoreOptimizer(OptimizerToValue(*saved, Parameters()), Parameters(), restored.get());
  ASSERT_TRUE(status.ok()) << status;
  at::Tensor expected = saved->State()[0].tensor.clone();
  // Element 3 belongs to no parameter.
  expected[3] = 0;
  EXPECT_TRUE(restored->State()[0].tensor.equal(expected));
}

TEST(OptimizerStateTest, ReadsEntryOfTheFirstVersion) {
  const std::unique_ptr<Optimizer> sgd = MakeSgd();
  const absl::Status status =
      RestoreOptimizer(Entry("sgd", Momentum(at::full({3}, 2.f), at::full({2, 3, 1, 2}, 5.f))),
                       Parameters(), sgd.get());
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(sgd->State()[0].tensor[2].item<float>(), 2);
  EXPECT_EQ(sgd->State()[0].tensor[15].item<float>(), 5);
}

TEST(OptimizerStateTest, RefusesStateOfAnotherKind) {
  const std::unique_ptr<Optimizer> sgd = MakeSgd();
  const Value entry = Entry("adamw", Momentum(at::ones({3}), at::ones({2, 3, 1, 2})));
  EXPECT_EQ(RestoreOptimizer(entry, Parameters(), sgd.get()).message(),
            "it holds the state of optimizer adamw; the config has optimizer.sgd. Resume with the "
            "optimizer that the run began with");
}

TEST(OptimizerStateTest, RefusesStateOfOtherParametersAndWritesNothing) {
  const std::unique_ptr<Optimizer> sgd = MakeSgd();
  Value::Dict bias_alone;
  bias_alone.Append("bias", at::ones({3}));
  for (const Value& entry :
       {Entry("sgd", bias_alone), Entry("sgd", Momentum(at::ones({3}), at::ones({3, 2, 1, 2})))}) {
    const absl::Status status = RestoreOptimizer(entry, Parameters(), sgd.get());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("it has no momentum for weight: other parameters were trained in it"));
    EXPECT_TRUE(sgd->State()[0].tensor.equal(at::zeros({16})));
  }
}

TEST(OptimizerStateTest, RefusesEntryWithoutItsParts) {
  const std::unique_ptr<Optimizer> sgd = MakeSgd();
  Value::Dict no_momentum;
  no_momentum.Append("kind", "sgd");
  for (const Value& entry : {Value(Value::Dict()), Value(no_momentum), Value(3)}) {
    EXPECT_FALSE(RestoreOptimizer(entry, Parameters(), sgd.get()).ok());
  }
}

}  // namespace
}  // namespace finetune
