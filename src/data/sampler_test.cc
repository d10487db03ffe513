#include "src/data/sampler.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/philox.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;

// The expected numbers are from the file kat_vectors of Random123, the authors' implementation
// (Salmon et al. 2011).
TEST(Philox, KnownAnswers) {
  EXPECT_THAT(Philox({0, 0, 0, 0}, {0, 0}),
              ElementsAre(0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8));
  EXPECT_THAT(Philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
              ElementsAre(0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd));
  EXPECT_THAT(Philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
              ElementsAre(0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1));
}

Sampler Make(int64_t images, int64_t batch, int rank = 0, int world = 1) {
  return {.images = images,
          .total_batch = batch,
          .rank = rank,
          .world_size = world,
          .seed = 7,
          .shuffle = true};
}

TEST(Sampler, AnEpochHoldsEveryImageOnceInAnOrderOfItsOwn) {
  const Sampler sampler = Make(1000, 32);
  std::vector<int64_t> first = sampler.Order(0), second = sampler.Order(1);
  EXPECT_NE(first, second);
  EXPECT_EQ(first, sampler.Order(0));
  std::sort(first.begin(), first.end());
  for (int64_t i = 0; i < 1000; ++i) EXPECT_EQ(first[i], i);
}

// For any number of ranks, the parts of all ranks, concatenated in the order of the ranks, must be
// the batch of a job with one rank.
TEST(Sampler, BatchesDoNotDependOnTheNumberOfRanks) {
  for (const int64_t images : {1, 5, 64, 101}) {
    for (const int64_t batch : {1, 3, 16, 200}) {
      const Sampler one = Make(images, batch);
      const std::vector<int64_t> order = one.Order(3);
      for (int world = 1; world <= 7; ++world) {
        for (int64_t b = 0; b < one.iterations_per_epoch(); ++b) {
          const auto whole = one.Part(order, b);
          std::vector<int64_t> joined;
          for (int rank = 0; rank < world; ++rank) {
            const Sampler sampler = Make(images, batch, rank, world);
            const auto part = sampler.Part(order, b);
            EXPECT_LE(static_cast<int64_t>(part.size()), sampler.LargestPart());
            joined.insert(joined.end(), part.begin(), part.end());
          }
          EXPECT_EQ(joined, std::vector<int64_t>(whole.begin(), whole.end()));
          EXPECT_EQ(static_cast<int64_t>(whole.size()), one.GlobalSize(b));
        }
      }
    }
  }
}

TEST(SamplerTest, PartsInPairsHoldEachImagesPartner) {
  for (const int64_t images : {1, 5, 64, 101}) {
    for (const int64_t size : {1, 2, 3, 16, 200}) {
      for (int world = 1; world <= 7; ++world) {
        for (int rank = 0; rank < world; ++rank) {
          const Sampler sampler = Make(images, size, rank, world);
          const std::vector<int64_t> order = sampler.Order(3);
          for (int64_t b = 0; b < sampler.iterations_per_epoch(); ++b) {
            const auto part = sampler.Part(order, b);
            const Sampler::Pairs pairs = sampler.PartInPairs(order, b);
            const auto rows = static_cast<int64_t>(pairs.indices.size());
            ASSERT_LE(rows, sampler.LargestPart() + 2);
            ASSERT_EQ(part.empty(), pairs.indices.empty());
            if (part.empty()) continue;
            EXPECT_EQ(pairs.indices.subspan(pairs.first, part.size()), part);
            // `begin` and `position` are positions in the global batch.
            const int64_t begin = part.data() - order.data() - b * size;
            for (int64_t i = 0; i < static_cast<int64_t>(part.size()); ++i) {
              const int64_t position = begin + i, partner = position ^ 1;
              const int64_t row = (pairs.first + i) ^ 1;
              if (partner >= sampler.GlobalSize(b)) {
                EXPECT_GE(row, rows) << "an image that is alone";
              } else {
                ASSERT_LT(row, rows);
                EXPECT_EQ(pairs.indices[row], order[b * size + partner]);
              }
            }
          }
        }
      }
    }
  }
}

// Makes a class-balanced sampler of 90 images: 70 of class 0, 15 of class 1, 5 of class 2 and none
// of class 3.
Sampler MakeBalanced(int64_t batch, int rank = 0, int world = 1) {
  std::vector<std::vector<int64_t>> classes(4);
  for (int64_t i = 0; i < 90; ++i) classes[i % 18 == 0 ? 2 : i % 6 == 1 ? 1 : 0].push_back(i);
  Sampler sampler = Make(90, batch, rank, world);
  sampler.images_by_class = std::make_shared<const std::vector<std::vector<int64_t>>>(classes);
  return sampler;
}

int64_t ClassOf(int64_t image) { return image % 18 == 0 ? 2 : image % 6 == 1 ? 1 : 0; }

TEST(Sampler, ABalancedEpochHasEquallyManyOfEachClass) {
  const Sampler sampler = MakeBalanced(8);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const std::vector<int64_t> order = sampler.Order(epoch);
    ASSERT_EQ(order.size(), 90u);
    std::vector<int> of_class(3), of_image(90);
    for (const int64_t visit : order) {
      const int64_t image = sampler.ImageOf(visit);
      ++of_class[ClassOf(image)];
      // No class has more than 30 visits, so none of the 5 images of class 2 occurs a 7th time.
      EXPECT_LT(visit / 90, 6);
      ++of_image[image];
    }
    EXPECT_THAT(of_class, ElementsAre(30, 30, 30));
    // Each class has 30 visits: of 15 images in class 1 and of 5 images in class 2.
    for (int64_t i = 0; i < 90; ++i) {
      if (ClassOf(i) == 0) {
        EXPECT_LE(of_image[i], 1);
      }
      if (ClassOf(i) == 1) {
        EXPECT_EQ(of_image[i], 2);
      }
      if (ClassOf(i) == 2) {
        EXPECT_EQ(of_image[i], 6);
      }
    }
    std::vector<int64_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(std::unique(sorted.begin(), sorted.end()), sorted.end()) << "a visit occurs twice";
  }
  EXPECT_EQ(sampler.Order(1), MakeBalanced(8).Order(1));
  EXPECT_NE(sampler.Order(0), sampler.Order(1));
}

TEST(Sampler, ABalancedEpochGivesTheRemainderToRandomClasses) {
  Sampler sampler = MakeBalanced(8);
  sampler.images_by_class = std::make_shared<const std::vector<std::vector<int64_t>>>(
      std::vector<std::vector<int64_t>>{{0}, {1}, {2}, {3, 4}});
  sampler.images = 5;
  std::vector<int> greater(4);
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    std::vector<int> counts(4);
    for (const int64_t visit : sampler.Order(epoch)) ++counts[std::min<int64_t>(visit % 5, 3)];
    for (int c = 0; c < 4; ++c) {
      EXPECT_GE(counts[c], 1);
      if (counts[c] == 2) ++greater[c];
    }
  }
  for (const int times : greater) EXPECT_GT(times, 20);
}

TEST(Sampler, ABalancedOrRepeatedEpochDoesNotDependOnTheNumberOfRanks) {
  for (const int repeats : {1, 3}) {
    Sampler one = MakeBalanced(8);
    one.repeats = repeats;
    const std::vector<int64_t> order = one.Order(2);
    for (int world = 2; world <= 5; ++world) {
      std::vector<int64_t> joined;
      for (int64_t b = 0; b < one.iterations_per_epoch(); ++b) {
        for (int rank = 0; rank < world; ++rank) {
          Sampler sampler = MakeBalanced(8, rank, world);
          sampler.repeats = repeats;
          EXPECT_EQ(sampler.Order(2), order);
          const auto part = sampler.Part(order, b);
          joined.insert(joined.end(), part.begin(), part.end());
        }
      }
      EXPECT_EQ(joined, order);
    }
  }
}

TEST(Sampler, ARepeatedImageIsInItsBatchSoManyTimesAndFarApart) {
  Sampler sampler = Make(100, 12);
  sampler.repeats = 3;
  const std::vector<int64_t> order = sampler.Order(0);
  ASSERT_EQ(order.size(), 100u);
  std::vector<int> in_epoch(100);
  for (int64_t b = 0; b < sampler.iterations_per_epoch(); ++b) {
    const int64_t size = sampler.GlobalSize(b), different = (size + 2) / 3;
    for (int64_t i = 0; i < size; ++i) {
      const int64_t visit = order[b * 12 + i];
      EXPECT_EQ(sampler.ImageOf(visit), sampler.ImageOf(order[b * 12 + i % different]));
      EXPECT_EQ(visit / 100, i / different);
      ++in_epoch[sampler.ImageOf(visit)];
    }
  }
  // The last batch has 4 visits of two images: room for each image twice, not three times.
  EXPECT_EQ(std::count(in_epoch.begin(), in_epoch.end(), 3), 32);
  EXPECT_EQ(std::count(in_epoch.begin(), in_epoch.end(), 2), 2);
  EXPECT_EQ(std::count(in_epoch.begin(), in_epoch.end(), 0), 66);
}

TEST(Sampler, RepeatedVisitsOfABalancedEpochAllDiffer) {
  Sampler sampler = MakeBalanced(9);
  sampler.repeats = 4;
  std::vector<int64_t> order = sampler.Order(5);
  std::sort(order.begin(), order.end());
  EXPECT_EQ(std::unique(order.begin(), order.end()), order.end());
}

TEST(Sampler, TheLastSmallerBatchIsKeptUnlessDropped) {
  Sampler sampler = Make(100, 32);
  EXPECT_EQ(sampler.iterations_per_epoch(), 4);
  EXPECT_EQ(sampler.GlobalSize(3), 4);
  sampler.drop_last = true;
  EXPECT_EQ(sampler.iterations_per_epoch(), 3);
}

}  // namespace
}  // namespace finetune
