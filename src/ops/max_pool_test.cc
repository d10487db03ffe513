#include "src/ops/max_pool.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/nan_to_num.h>
#include <ATen/ops/randn.h>

#include <limits>

#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr at::MemoryFormat kLayout = at::MemoryFormat::ChannelsLast;

TEST(MaxPoolTest, MatchesLibTorch) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Vectors vectors : {Vectors::kAvx2, Vectors::kAvx512, Vectors::kAvx512Bfloat16}) {
      for (const int64_t height : {1, 2, 7, 16}) {
        for (const int64_t width : {1, 5, 12}) {
          const at::Tensor x = at::randn({3, 48, height, width}).to(type).contiguous(kLayout);
          if (vectors > BestVectors() || !MaxPool3x3Runs(x, vectors)) continue;
          const at::Tensor expected = at::max_pool2d(x, 3, 2, 1);
          EXPECT_TRUE(MaxPool3x3(x, /*relu=*/false, vectors).equal(expected))
              << type << " " << height << "x" << width;
          EXPECT_TRUE(MaxPool3x3(x, /*relu=*/true, vectors).equal(expected.relu()))
              << type << " " << height << "x" << width;
        }
      }
    }
  }
}

TEST(MaxPoolTest, PassesNanAndInfinityOn) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    for (const Vectors vectors : {Vectors::kAvx2, Vectors::kAvx512, Vectors::kAvx512Bfloat16}) {
      at::Tensor x = at::randn({1, 16, 8, 8}).to(type).contiguous(kLayout);
      if (vectors > BestVectors() || !MaxPool3x3Runs(x, vectors)) continue;
      x[0][3][3][3].fill_(std::numeric_limits<float>::quiet_NaN());
      x[0][4][3][3].fill_(kInfinity);
      x[0][5].fill_(-kInfinity);
      const at::Tensor expected = at::max_pool2d(x, 3, 2, 1);
      for (const bool relu : {false, true}) {
        const at::Tensor y = MaxPool3x3(x, relu, vectors);
        EXPECT_TRUE(y.isnan().equal(expected.isnan())) << type;
        EXPECT_EQ(y.isnan().sum().item<int64_t>(), 4) << type;
        EXPECT_TRUE(y.nan_to_num(-1, 7, -7).equal(
            (relu ? expected.relu() : expected).nan_to_num(-1, 7, -7)))
            << type;
      }
    }
  }
}

TEST(MaxPoolTest, AcceptsEmptyBatch) {
  const at::Tensor x = at::randn({0, 64, 8, 8}).contiguous(kLayout);
  if (!MaxPool3x3Runs(x)) return;
  EXPECT_EQ(MaxPool3x3(x, /*relu=*/true).sizes(), at::IntArrayRef({0, 64, 4, 4}));
}

}  // namespace
}  // namespace finetune
