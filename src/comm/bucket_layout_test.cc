#include "src/comm/bucket_layout.h"

#include <algorithm>
#include <numeric>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using testing::ElementsAre;

constexpr int64_t kMebibyte = (1 << 20) / sizeof(float);

// Returns the numbers of elements of the weights of a ResNet-18 for 32x32 images, about in the
// order in which their gradients arrive.
std::vector<int64_t> ResNet18() {
  std::vector<int64_t> counts = {5120, 10};
  for (const int64_t width : {512, 256, 128, 64}) {
    for (const int64_t inputs : {width, width, width, width == 64 ? width : width / 2}) {
      counts.push_back(width * inputs * 9);
    }
  }
  counts.push_back(1728);
  return counts;
}

std::vector<int64_t> Sizes(const BucketLayout& layout) {
  std::vector<int64_t> sizes(layout.ends.size());
  std::adjacent_difference(layout.ends.begin(), layout.ends.end(), sizes.begin());
  return sizes;
}

TEST(BucketLayoutTest, EveryParameterLiesInItsBucketOnAMultipleOf64Bytes) {
  const std::vector<int64_t> counts = {1, 17, 300, 5};
  CommConfig config;
  config.set_first_bucket_mebibytes(256.0 / (1 << 20));
  const BucketLayout layout = LayOutBuckets(counts, config);
  EXPECT_THAT(layout.offsets, ElementsAre(0, 16, 48, 352));
  EXPECT_THAT(layout.buckets, ElementsAre(0, 0, 1, 2));
  EXPECT_THAT(layout.ends, ElementsAre(48, 352, 368));
}

TEST(BucketLayoutTest, BucketsOfSeveralParametersStayWithinTheirSize) {
  const std::vector<int64_t> counts(100, kMebibyte / 4);
  CommConfig config;
  config.set_first_bucket_mebibytes(1);
  config.set_bucket_mebibytes(3);
  const std::vector<int64_t> sizes = Sizes(LayOutBuckets(counts, config));
  EXPECT_EQ(sizes[0], kMebibyte);
  EXPECT_EQ(sizes[1], 3 * kMebibyte);
  EXPECT_LE(*std::max_element(sizes.begin(), sizes.end()), 3 * kMebibyte);
}

// The last all-reduce starts when backward ends, so no computation hides its time.
TEST(BucketLayoutTest, TheLastBucketsAreSmall) {
  const std::vector<int64_t> sizes = Sizes(LayOutBuckets(ResNet18(), CommConfig()));
  EXPECT_LT(sizes.back(), 2 * kMebibyte);
  const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  EXPECT_LT(10 * sizes.back(), all);
  // There must not be many tiny buckets either: each all-reduce has a fixed cost.
  EXPECT_LE(sizes.size(), 10u);
}

TEST(BucketLayoutTest, NoParametersMakeNoBucket) {
  EXPECT_TRUE(LayOutBuckets({}, CommConfig()).ends.empty());
}

}  // namespace
}  // namespace finetune
