#include "src/model/head.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/model/dropout.h"
#include "src/ops/testing.h"

namespace finetune {
namespace {

constexpr uint64_t kSeed = 42;
// Unsorted image indices; some are large, and two share their lower 32 bits.
constexpr std::array<int64_t, 7> kIndices = {5, 49999, 0, 17, (int64_t{1} << 33) + 5, 6, 70000};

// Returns the context of a pass of images [begin, begin + count) of kIndices.
ForwardContext Pass(int64_t begin, int64_t count, int64_t iteration = 3) {
  return {.training = true,
          .iteration = iteration,
          .indices = absl::MakeConstSpan(kIndices).subspan(begin, count)};
}

// Returns the results of `forward` on the images in parts of these sizes, as for ranks and
// micro-batches.
template <typename Forward>
at::Tensor InParts(const at::Tensor& x, const std::vector<int64_t>& sizes, const Forward& forward) {
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (const int64_t size : sizes) {
    parts.push_back(forward(x.narrow(0, begin, size), Pass(begin, size)));
    begin += size;
  }
  return at::cat(parts);
}

const std::vector<std::vector<int64_t>> kCuts = {{7}, {4, 3}, {3, 0, 4}, {1, 1, 2, 3}};

TEST(DropoutTest, DrawsTheSameOnAnyNumberOfRanksAndInMicroBatches) {
  const at::Tensor x = ByFormula("x", {7, 130});
  const at::Tensor whole = Dropout(x, 0.3F, kSeed, Pass(0, 7));
  for (const std::vector<int64_t>& sizes : kCuts) {
    const at::Tensor parts =
        InParts(x, sizes, [](const at::Tensor& part, const ForwardContext& context) {
          return Dropout(part, 0.3F, kSeed, context);
        });
    EXPECT_TRUE(at::equal(parts, whole)) << ::testing::PrintToString(sizes);
  }
}

TEST(DropoutTest, DrawsAnewForEachLayer) {
  const at::Tensor x = at::ones({7, 130});
  EXPECT_FALSE(at::equal(Dropout(x, 0.5F, kSeed, Pass(0, 7), /*layer=*/1),
                         Dropout(x, 0.5F, kSeed, Pass(0, 7))));
}

TEST(DropoutTest, DrawsAnewForEachSeedIterationAndImage) {
  const at::Tensor x = at::ones({7, 130});
  const at::Tensor whole = Dropout(x, 0.5F, kSeed, Pass(0, 7));
  EXPECT_FALSE(at::equal(Dropout(x, 0.5F, kSeed + 1, Pass(0, 7)), whole));
  EXPECT_FALSE(at::equal(Dropout(x, 0.5F, kSeed, Pass(0, 7, /*iteration=*/4)), whole));
  for (int64_t i = 0; i < 7; ++i) {
    for (int64_t j = 0; j < i; ++j) EXPECT_FALSE(at::equal(whole[i], whole[j])) << i << " " << j;
  }
}

TEST(DropoutTest, DropsThisShareAndKeepsTheMean) {
  const at::Tensor y = Dropout(at::ones({7, 10000}), 0.25F, kSeed, Pass(0, 7));
  const at::Tensor dropped = y == 0;
  // The tolerance is five standard deviations of a binomial distribution.
  EXPECT_NEAR(dropped.to(at::kDouble).mean().item<double>(), 0.25, 0.0082);
  EXPECT_TRUE(dropped.logical_or(y == 1 / 0.75F).all().item<bool>());
}

TEST(DropoutTest, DroppedFeaturesGetNoGradient) {
  const at::Tensor x = at::ones({7, 130}).requires_grad_();
  const at::Tensor y = Dropout(x, 0.5F, kSeed, Pass(0, 7));
  y.sum().backward();
  EXPECT_TRUE(at::equal(x.grad(), y.detach()));
}

TEST(DropPathTest, DropsWholeImagesTheSameInAnyPartsAndAnewForEachBlock) {
  const at::Tensor x = at::ones({7, 3, 2, 2});
  const at::Tensor whole = DropPath(x, 0.5F, kSeed, Pass(0, 7), /*block=*/4);
  EXPECT_TRUE((whole == whole.amax({1, 2, 3}, /*keepdim=*/true)).all().item<bool>());
  EXPECT_TRUE((whole == 0).logical_or(whole == 2).all().item<bool>());
  bool differs = false;
  for (uint32_t block = 5; block < 10; ++block) {
    differs = differs || !at::equal(DropPath(x, 0.5F, kSeed, Pass(0, 7), block), whole);
  }
  EXPECT_TRUE(differs);
  for (const std::vector<int64_t>& sizes : kCuts) {
    const at::Tensor parts =
        InParts(x, sizes, [](const at::Tensor& part, const ForwardContext& context) {
          return DropPath(part, 0.5F, kSeed, context, /*block=*/4);
        });
    EXPECT_TRUE(at::equal(parts, whole)) << ::testing::PrintToString(sizes);
  }
}

TEST(DropoutTest, RefusesAPassWithoutItsIndices) {
  std::string error = "none";
  try {
    Dropout(at::ones({7, 2}), 0.5F, kSeed, Pass(0, 6));
  } catch (const c10::Error& thrown) {
    error = thrown.what_without_backtrace();
  }
  EXPECT_THAT(error, ::testing::HasSubstr("dropout got 7 images and 6 indices"));
}

// A head whose weights are small whole numbers, so that sums are exact in any order.
Head WholeNumbers(float dropout) {
  HeadConfig config;
  config.set_dropout(dropout);
  return Head(config, {ByFormula("weight", {3, 16}, 4).round(), ByFormula("bias", {3}, 4).round()},
              kSeed);
}

TEST(HeadTest, GivesTheSameBitsOnAnyNumberOfRanksAndInMicroBatches) {
  const Head head = WholeNumbers(0.5F);
  const at::Tensor x = ByFormula("x", {7, 16}, 4).round();
  const at::Tensor whole = head.Forward(x, Pass(0, 7));
  for (const std::vector<int64_t>& sizes : kCuts) {
    const at::Tensor parts =
        InParts(x, sizes, [&](const at::Tensor& part, const ForwardContext& context) {
          return head.Forward(part, context);
        });
    EXPECT_TRUE(at::equal(parts, whole)) << ::testing::PrintToString(sizes);
  }
}

TEST(HeadTest, DropsFeaturesInTrainingAlone) {
  const at::Tensor x = ByFormula("x", {7, 16}, 4).round();
  const at::Tensor all = WholeNumbers(0).Forward(x, Pass(0, 7));
  const Head dropping = WholeNumbers(0.5F);
  EXPECT_FALSE(at::equal(dropping.Forward(x, Pass(0, 7)), all));
  EXPECT_TRUE(at::equal(dropping.Forward(x, {.training = false}), all));
}

}  // namespace
}  // namespace finetune
