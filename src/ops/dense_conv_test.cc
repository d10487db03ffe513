#include "src/ops/dense_conv.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/ops/conv.h"
#include "src/ops/testing.h"

namespace finetune {
namespace {

constexpr int64_t kOut = 8;

// The arguments of DenseConv(), with maps that have these numbers of channels.
struct Inputs {
  explicit Inputs(at::ScalarType type, const std::vector<int64_t>& widths, int64_t images = 3) {
    int64_t channels = 0;
    for (const int64_t width : widths) {
      maps.push_back(ByFormula(absl::StrCat("map", maps.size()), {images, width, 4, 5}, 1, 0.5)
                         .to(type)
                         .contiguous(at::MemoryFormat::ChannelsLast)
                         .set_requires_grad(true));
      channels += width;
    }
    gamma = ByFormula("gamma", {channels}, 0.5, 1).set_requires_grad(true);
    beta = ByFormula("beta", {channels}).set_requires_grad(true);
    weight = ByFormula("weight", {kOut, channels, 1, 1})
                 .contiguous(at::MemoryFormat::ChannelsLast)
                 .set_requires_grad(true);
    running_mean = at::zeros({channels});
    running_var = at::ones({channels});
  }

  at::Tensor Run(bool training, const SumOverRanks& sum) const {
    return DenseConv(maps, gamma, beta, running_mean, running_var, weight, training, sum);
  }
  at::Tensor RunByOperators(bool training, const SumOverRanks& sum) const {
    const at::Tensor y = BatchNormAct(at::cat(maps, 1), gamma, beta, running_mean, running_var, {},
                                      Activation::kRelu, training, sum);
    return TrainedConv(y, weight, /*stride=*/1, /*padding=*/0);
  }

  std::vector<at::Tensor> maps;
  at::Tensor gamma, beta, weight, running_mean, running_var;
};

void ExpectEqual(const Inputs& actual, const Inputs& expected) {
  for (size_t i = 0; i < actual.maps.size(); ++i) {
    EXPECT_TRUE(at::equal(actual.maps[i].grad(), expected.maps[i].grad())) << "map " << i;
  }
  EXPECT_TRUE(at::equal(actual.gamma.grad(), expected.gamma.grad()));
  EXPECT_TRUE(at::equal(actual.beta.grad(), expected.beta.grad()));
  EXPECT_TRUE(at::equal(actual.weight.grad(), expected.weight.grad()));
  EXPECT_TRUE(at::equal(actual.running_mean, expected.running_mean));
  EXPECT_TRUE(at::equal(actual.running_var, expected.running_var));
}

TEST(DenseConvTest, EqualsTheOperatorsThatItConsistsOf) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const bool training : {true, false}) {
      for (const std::vector<int64_t>& widths :
           std::vector<std::vector<int64_t>>{{16}, {16, 8}, {3, 5, 2}}) {
        SCOPED_TRACE(absl::StrCat(c10::toString(type), training ? " training " : " evaluating ",
                                  widths.size(), " maps"));
        const Inputs actual(type, widths), expected(type, widths);
        const at::Tensor y = actual.Run(training, nullptr);
        const at::Tensor wanted = expected.RunByOperators(training, nullptr);
        EXPECT_EQ(y.scalar_type(), type);
        EXPECT_TRUE(at::equal(y, wanted));
        // A gradient is a part of a larger tensor where the result was concatenated.
        const at::Tensor dy =
            ByFormula("dy", {3, 2 * kOut, 4, 5}).to(type).narrow(1, kOut / 2, kOut);
        y.backward(dy);
        wanted.backward(dy);
        ExpectEqual(actual, expected);
      }
    }
  }
}

TEST(DenseConvTest, SumsTheStatisticsOfAllRanks) {
  std::vector<Inputs> actual, expected;
  for (const int64_t images : {1, 2}) {
    actual.emplace_back(at::kFloat, std::vector<int64_t>{16, 8}, images);
    expected.emplace_back(at::kFloat, std::vector<int64_t>{16, 8}, images);
  }
  Ranks(2).Run([&](int rank, const SumOverRanks& sum) {
    actual[rank].Run(/*training=*/true, sum).square().sum().backward();
  });
  Ranks(2).Run([&](int rank, const SumOverRanks& sum) {
    expected[rank].RunByOperators(/*training=*/true, sum).square().sum().backward();
  });
  for (const int rank : {0, 1}) ExpectEqual(actual[rank], expected[rank]);
}

TEST(DenseConvTest, GivesNoGradientToFrozenMaps) {
  Inputs inputs(at::kFloat, {16, 8});
  inputs.maps[0].set_requires_grad(false);
  inputs.Run(/*training=*/true, nullptr).sum().backward();
  EXPECT_FALSE(inputs.maps[0].grad().defined());
  EXPECT_TRUE(inputs.maps[1].grad().defined());
  EXPECT_TRUE(inputs.weight.grad().defined());
}

}  // namespace
}  // namespace finetune
