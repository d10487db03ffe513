#include "src/data/micro_batches.h"

#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<int64_t> Sizes(const MicroBatches& parts) {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < parts.passes(); ++i) sizes.push_back(parts.Size(i));
  return sizes;
}

TEST(MicroBatchesTest, PassesDifferByOneImageAtMost) {
  EXPECT_THAT(Sizes(MicroBatches::Of(10, 4)), ElementsAre(3, 3, 4));
  EXPECT_THAT(Sizes(MicroBatches::Of(12, 4)), ElementsAre(4, 4, 4));
  EXPECT_THAT(Sizes(MicroBatches::Of(3, 4)), ElementsAre(3));
}

TEST(MicroBatchesTest, TakesAllAtOnceWithoutALimit) {
  EXPECT_THAT(Sizes(MicroBatches::Of(10, 0)), ElementsAre(10));
}

TEST(MicroBatchesTest, NoImagesNeedNoPass) {
  EXPECT_THAT(Sizes(MicroBatches::Of(0, 4)), IsEmpty());
  EXPECT_THAT(Sizes(MicroBatches::Of(0, 0)), IsEmpty());
}

TEST(MicroBatchesTest, EveryImageIsInOnePass) {
  for (int64_t images = 0; images < 40; ++images) {
    for (int64_t most = 0; most < 8; ++most) {
      int64_t sum = 0;
      for (const int64_t size : Sizes(MicroBatches::Of(images, most))) {
        EXPECT_GE(size, 1);
        EXPECT_LE(size, most > 0 ? most : images);
        sum += size;
      }
      EXPECT_EQ(sum, images);
    }
  }
}

TEST(MicroBatchesTest, RanksInStepHaveEmptyPassesWhereTheyHaveFewerImages) {
  EXPECT_THAT(Sizes(MicroBatches::InStep(1, 4, 2)), ElementsAre(0, 1));
  EXPECT_THAT(Sizes(MicroBatches::InStep(0, 4, 2)), ElementsAre(0, 0));
}

}  // namespace
}  // namespace finetune
