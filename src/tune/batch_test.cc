#include "src/tune/batch.h"

#include <gtest/gtest.h>

#include "src/testing/from_text.h"

namespace finetune {
namespace {

BatchResult Result(int64_t largest) {
  BatchResult result;
  result.facts = {.total_batch = 64, .rank_batch = 32, .ranks = 2};
  for (int64_t size = 8; size <= largest; size *= 2) {
    // Passes of 16 images are the fastest.
    const double image_s = size == 16 ? 0.01 : 0.02;
    result.found.fitting.push_back(
        {.micro_batch = size, .pass_s = image_s * static_cast<double>(size), .rest_s = 0.08});
  }
  return result;
}

TEST(Recommend, KeepsTheTotalBatch) {
  const auto train = FromText<SplitConfig>("total_batch_size: 64");
  EXPECT_EQ(Recommend(Result(32), train),
            "fastest with 64 images an iteration: a micro-batch of 16, 160.0 images/s\n"
            "  --set=data.train.total_batch_size=64 --set=data.train.micro_batch_size=16\n"
            "largest that was tried: a micro-batch of 32\n"
            "  --set=data.train.total_batch_size=64 --set=data.train.micro_batch_size=0\n");
}

TEST(Recommend, NamesTheFieldThatTheConfigHasAndALargerBatch) {
  BatchResult result = Result(128);
  result.found.too_large = 136;
  EXPECT_EQ(Recommend(result, FromText<SplitConfig>("batch_size: 32 micro_batch_size: 4")),
            "fastest with 64 images an iteration: a micro-batch of 16, 160.0 images/s\n"
            "  --set=data.train.batch_size=32 --set=data.train.micro_batch_size=16\n"
            "largest that fits: a micro-batch of 128\n"
            "  --set=data.train.batch_size=128 makes that 256 images an iteration, which want "
            "another learning rate: finetune lr\n");
}

TEST(CheckBatchFlags, RefusesARangeWithoutASize) {
  EXPECT_TRUE(CheckBatchFlags({.from = 8, .to = 8}).ok());
  EXPECT_EQ(CheckBatchFlags({.from = 9, .to = 8}).message(),
            "--to: found 8 and --from=9; expected a --to of --from or more");
}

}  // namespace
}  // namespace finetune
