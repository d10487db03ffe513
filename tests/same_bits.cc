#include "tests/same_bits.h"

#include "gtest/gtest.h"

namespace finetune {

void ExpectSameBits(const TensorList& tensors, const TensorList& expected) {
  ASSERT_EQ(tensors.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(tensors[i].name, expected[i].name);
    EXPECT_TRUE(tensors[i].tensor.equal(expected[i].tensor)) << expected[i].name;
  }
}

}  // namespace finetune
