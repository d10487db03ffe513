#include "src/train/check_batches.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

SplitConfig Train(int batch_size, int micro_batch_size = 0, bool drop_last = false) {
  SplitConfig train;
  train.set_batch_size(batch_size);
  train.set_micro_batch_size(micro_batch_size);
  train.set_drop_last(drop_last);
  return train;
}

std::string ErrorOf(const SplitConfig& train, const EpochShape& epoch) {
  return std::string(CheckNoLoneImage(train, epoch).message());
}

TEST(CheckBatchesTest, AcceptsPassesOfTwoAndMore) {
  EXPECT_EQ(ErrorOf(Train(15), {.images = 30}), "");
  EXPECT_EQ(ErrorOf(Train(28), {.images = 30}), "");
  EXPECT_EQ(ErrorOf(Train(2), {.images = 30, .ranks = 3}), "");
  EXPECT_EQ(ErrorOf(Train(8, 2), {.images = 32}), "");
}

TEST(CheckBatchesTest, FindsTheLastImageOfAnEpoch) {
  const std::string error = ErrorOf(Train(29), {.images = 30});
  EXPECT_EQ(error,
            "an epoch's last batch has 1 of the 30 images, so that a pass has one image; set "
            "data.train.drop_last: true, or data.train.batch_size: 30, or "
            "model.backbone.norm_eval: true");
  EXPECT_EQ(ErrorOf(Train(29, 0, /*drop_last=*/true), {.images = 30}), "");
}

TEST(CheckBatchesTest, FindsOneImageOnEachOfTwoRanks) {
  const std::string error = ErrorOf(Train(14), {.images = 30, .ranks = 2});
  EXPECT_THAT(error,
              AllOf(HasSubstr("last batch has 2 of the 30 images for 2 ranks"),
                    HasSubstr("data.train.drop_last: true"), HasSubstr("data.train.batch_size: 15"),
                    HasSubstr("comm.sync_batch_norm: true")));
}

TEST(CheckBatchesTest, ARankWithoutImagesHasNoPass) {
  // An epoch's last batch has 2 images: of 4 ranks, 0 and 2 take none, 1 and 3 take one each.
  EXPECT_THAT(ErrorOf(Train(7), {.images = 30, .ranks = 4}), HasSubstr("2 of the 30 images"));
}

TEST(CheckBatchesTest, AMicroBatchOfOneIsNotCuredByDropLastOrBatchSize) {
  const std::string error = ErrorOf(Train(16, 1), {.images = 32});
  EXPECT_EQ(error,
            "a batch has 16 images in passes of 1 at most, so that a pass has one image; set "
            "data.train.micro_batch_size: 2, or model.backbone.norm_eval: true");
}

TEST(CheckBatchesTest, FindsPassesThatDivideUnevenly) {
  // A batch of 3 images with at most 2 per pass has passes of 1 and 2.
  const std::string error = ErrorOf(Train(3, 2), {.images = 30});
  EXPECT_THAT(error, AllOf(HasSubstr("data.train.micro_batch_size: 3"),
                           HasSubstr("data.train.batch_size: 4"), Not(HasSubstr("drop_last"))));
}

TEST(CheckBatchesTest, SynchronisedBatchNormCountsAllRanksImages) {
  EXPECT_EQ(ErrorOf(Train(1), {.images = 30, .ranks = 2, .sync_batch_norm = true}), "");
  // 31 images are a batch of 30 and one of 1, so the last batch has one image for all ranks
  // together.
  EXPECT_THAT(ErrorOf(Train(15), {.images = 31, .ranks = 2, .sync_batch_norm = true}),
              AllOf(HasSubstr("1 of the 31 images"), Not(HasSubstr("sync_batch_norm"))));
}

// Each advised change removes the error.
TEST(CheckBatchesTest, EachRemedyHelps) {
  for (int images = 2; images < 20; ++images) {
    for (int ranks = 1; ranks <= 3; ++ranks) {
      for (int micro = 0; micro <= 3; ++micro) {
        const SplitConfig train = Train(4, micro);
        const EpochShape epoch{.images = images, .ranks = ranks};
        const std::string error = ErrorOf(train, epoch);
        if (error.find("drop_last: true") != std::string::npos) {
          EXPECT_EQ(ErrorOf(Train(4, micro, true), epoch), "") << error;
        }
        if (error.find("sync_batch_norm: true") != std::string::npos) {
          EpochShape synchronised = epoch;
          synchronised.sync_batch_norm = true;
          EXPECT_EQ(ErrorOf(train, synchronised), "") << error;
        }
      }
    }
  }
}

}  // namespace
}  // namespace finetune
