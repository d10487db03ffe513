#include "src/tensor/finite.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>

#include <limits>

#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(FiniteTest, FindsOneBadElementAnywhere) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16}) {
    for (const float bad : {kInfinity, -kInfinity, kNan}) {
      for (const int64_t at : {0, 77, 199999}) {
        at::Tensor tensor = at::ones({200000}, type);
        EXPECT_TRUE(IsFinite(tensor));
        tensor[at] = bad;
        EXPECT_FALSE(IsFinite(tensor)) << type << " " << bad << " " << at;
      }
    }
  }
}

TEST(FiniteTest, AcceptsTheLargestFloatsViewsAndIntegers) {
  at::Tensor tensor = at::ones({4, 3});
  tensor[0][0] = std::numeric_limits<float>::max();
  tensor[3][2] = kNan;
  EXPECT_TRUE(IsFinite(tensor.narrow(0, 0, 3)));
  EXPECT_TRUE(IsFinite(tensor.narrow(1, 0, 2)));
  EXPECT_FALSE(IsFinite(tensor.t()));
  EXPECT_TRUE(IsFinite(at::ones({3}, at::kLong)));
  EXPECT_TRUE(IsFinite(at::ones({0})));
}

TEST(FiniteTest, NamesTheFirstBadTensor) {
  const TensorList tensors = {{"a", at::ones({2})}, {"b", at::full({2}, kNan)}};
  ASSERT_NE(FirstNotFinite(tensors), nullptr);
  EXPECT_EQ(FirstNotFinite(tensors)->name, "b");
  EXPECT_EQ(FirstNotFinite({{"a", at::ones({2})}}), nullptr);
}

}  // namespace
}  // namespace finetune
