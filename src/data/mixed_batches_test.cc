// Tests the batches of a loader whose config has a batch transform.
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <google/protobuf/text_format.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"
#include "src/data/builder.h"
#include "src/data/dataset.h"
#include "src/data/device_pipeline.h"
#include "src/data/loader.h"

namespace finetune {
namespace {

constexpr int kSide = 4;
constexpr int kImages = 23;
constexpr int64_t kClasses = 3;
constexpr int64_t kBatch = 9;

class MixedBatchesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder() + "/data";
    DatasetBuilder::Options options;
    options.folder = folder_;
    options.name = "test";
    options.class_names = {"a", "b", "c"};
    options.height = options.width = kSide;
    options.channels = 3;
    auto builder = DatasetBuilder::Create(options);
    ASSERT_TRUE(builder.ok()) << builder.status();
    ASSERT_TRUE(builder->BeginSplit("train", kImages).ok());
    for (int i = 0; i < kImages; ++i) {
      std::vector<uint8_t> pixels;
      for (int j = 0; j < kSide * kSide * 3; ++j) {
        pixels.push_back(static_cast<uint8_t>(11 * i + 29 * j));
      }
      ASSERT_TRUE(builder->Add(pixels, i % kClasses).ok());
    }
    ASSERT_TRUE(builder->Finish().ok());
  }

  std::unique_ptr<BatchLoader> Load(const LoaderOptions& options, bool mixes = true) const {
    SplitConfig split;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("total_batch_size: ", kBatch,
                     " workers: 2 pipeline { random_crop { size: 3 padding: 1 } } "
                     "pipeline { random_flip {} } pipeline { normalize {} } ",
                     mixes ? "batch_transform { mixup { alpha: 1 } }" : ""),
        &split));
    auto dataset = Dataset::Open(folder_, "train");
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    auto loader = BatchLoader::Create(*std::move(dataset), split, options);
    EXPECT_TRUE(loader.ok()) << loader.status();
    return *std::move(loader);
  }

  std::string folder_;
};

struct Mixed {
  at::Tensor images, targets;
};

// Returns the images and targets of the next batch, prepared and mixed. The loader does this
// itself, unless it returns stored images; then a DevicePipeline does it here.
Mixed Next(BatchLoader* loader) {
  const absl::StatusOr<Batch> batch = loader->Next();
  EXPECT_TRUE(batch.ok()) << batch.status();
  const std::optional<DevicePipeline> pipeline = loader->PipelineOn(at::kCPU);
  Mixed mixed = {pipeline.has_value() ? pipeline->Apply(*batch) : batch->images.clone(),
                 Targets(*batch, kClasses)};
  const auto n = static_cast<int64_t>(batch->indices.size());
  EXPECT_EQ(mixed.images.size(0), n);
  EXPECT_EQ(mixed.targets.size(0), n);
  return mixed;
}

// Returns the next global batch: the parts of all ranks, concatenated in the order of the ranks.
Mixed NextOfAll(const std::vector<std::unique_ptr<BatchLoader>>& ranks) {
  std::vector<at::Tensor> images, targets;
  for (const auto& rank : ranks) {
    Mixed part = Next(rank.get());
    images.push_back(std::move(part.images));
    targets.push_back(std::move(part.targets));
  }
  return {at::cat(images), at::cat(targets)};
}

// The number of batches that tests compare: two epochs of three batches each, with 9, 9 and 5
// images.
constexpr int kBatches = 6;

TEST_F(MixedBatchesTest, EachImageIsMixedWithItsPartnerAndSoIsItsLabel) {
  const auto plain = Load({.seed = 7}, /*mixes=*/false), mixing = Load({.seed = 7});
  for (int b = 0; b < kBatches; ++b) {
    const Mixed mixed = Next(mixing.get());
    const absl::StatusOr<Batch> batch = plain->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    const at::Tensor images = batch->images;
    const int64_t n = images.size(0);
    // The weight of an image's own label is its target for this class, unless both images have the
    // same class.
    for (int64_t i = 0; i < n; ++i) {
      const int64_t partner = (i ^ 1) < n ? i ^ 1 : i;
      const int64_t label = batch->labels[i].item<int64_t>();
      const int64_t other = batch->labels[partner].item<int64_t>();
      EXPECT_EQ(mixed.targets[i].sum().item<float>(), 1);
      if (label == other) {
        EXPECT_EQ(mixed.targets[i][label].item<float>(), 1);
        if (partner == i) EXPECT_TRUE(mixed.images[i].equal(images[i])) << "it is alone";
        continue;
      }
      const double share = mixed.targets[i][label].item<double>();
      EXPECT_GT(share, 0);
      EXPECT_LT(share, 1);
      const at::Tensor expected = images[i] * share + images[partner] * (1 - share);
      EXPECT_TRUE(mixed.images[i].allclose(expected, /*rtol=*/1e-5, /*atol=*/1e-6))
          << b << " " << i;
    }
  }
}

TEST_F(MixedBatchesTest, AGlobalBatchIsMixedAlikeOnAnyNumberOfRanks) {
  for (const bool stored : {false, true}) {
    for (const int world : {2, 3, 4, 7}) {
      const auto one = Load({.seed = 7, .stored = stored});
      std::vector<std::unique_ptr<BatchLoader>> ranks;
      for (int rank = 0; rank < world; ++rank) {
        ranks.push_back(Load({.rank = rank, .world_size = world, .seed = 7, .stored = stored}));
      }
      for (int b = 0; b < kBatches; ++b) {
        const Mixed expected = Next(one.get()), parts = NextOfAll(ranks);
        EXPECT_TRUE(parts.images.equal(expected.images)) << world << " ranks, batch " << b;
        EXPECT_TRUE(parts.targets.equal(expected.targets)) << world << " ranks, batch " << b;
      }
    }
  }
}

TEST_F(MixedBatchesTest, ARunThatGoesOnMixesAsBefore) {
  const auto whole = Load({.seed = 7}), resumed = Load({.seed = 7});
  for (int b = 0; b < 4; ++b) Next(whole.get());
  resumed->Seek(/*epoch=*/1, /*iteration=*/1);
  for (int b = 4; b < kBatches; ++b) {
    const Mixed expected = Next(whole.get()), mixed = Next(resumed.get());
    EXPECT_TRUE(mixed.images.equal(expected.images)) << b;
    EXPECT_TRUE(mixed.targets.equal(expected.targets)) << b;
  }
}

TEST_F(MixedBatchesTest, EpochsAndSeedsMixDifferently) {
  const auto shares = [&](uint64_t seed) {
    const auto loader = Load({.seed = seed});
    std::vector<float> shares;
    for (int b = 0; b < kBatches; ++b) {
      const absl::StatusOr<Batch> batch = loader->Next();
      EXPECT_TRUE(batch.ok()) << batch.status();
      shares.push_back(batch->mixing.item<float>());
    }
    return shares;
  };
  const std::vector<float> seven = shares(7), eight = shares(8);
  for (int b = 0; b < kBatches; ++b) EXPECT_NE(seven[b], eight[b]);
  for (int b = 0; b < kBatches / 2; ++b) EXPECT_NE(seven[b], seven[b + kBatches / 2]);
}

TEST_F(MixedBatchesTest, StoredImagesBecomeThePreparedOnes) {
  for (const int rank : {0, 1}) {
    const auto prepared = Load({.rank = rank, .world_size = 2, .seed = 7});
    const auto stored = Load({.rank = rank, .world_size = 2, .seed = 7, .stored = true});
    for (int b = 0; b < kBatches; ++b) {
      const Mixed expected = Next(prepared.get()), mixed = Next(stored.get());
      // The CPU's loops use fused multiply-adds, while LibTorch's operators also round after the
      // multiplication.
      EXPECT_TRUE(mixed.images.allclose(expected.images, /*rtol=*/1e-5, /*atol=*/1e-5)) << b;
      EXPECT_TRUE(mixed.targets.equal(expected.targets)) << b;
    }
  }
}

TEST_F(MixedBatchesTest, Bfloat16IsTheFloatResultRounded) {
  const auto wide = Load({.seed = 7}), narrow = Load({.seed = 7, .bfloat16 = true});
  for (int b = 0; b < kBatches; ++b) {
    const Mixed expected = Next(wide.get()), mixed = Next(narrow.get());
    ASSERT_EQ(mixed.images.scalar_type(), at::kBFloat16);
    // The tolerance: both images are rounded before they are mixed, and the result is rounded
    // again. For values up to 4 each of the three roundings is by at most 1/128.
    EXPECT_TRUE(mixed.images.to(at::kFloat).allclose(expected.images, /*rtol=*/0, /*atol=*/0.024))
        << b;
    EXPECT_TRUE(mixed.targets.equal(expected.targets)) << b;
  }
}

TEST_F(MixedBatchesTest, EvaluationMixesNothing) {
  const auto plain = Load({.training = false}, /*mixes=*/false), mixing = Load({.training = false});
  const absl::StatusOr<Batch> expected = plain->Next(), batch = mixing->Next();
  ASSERT_TRUE(expected.ok() && batch.ok());
  EXPECT_FALSE(batch->partner_labels.defined());
  EXPECT_TRUE(batch->images.equal(expected->images));
}

}  // namespace
}  // namespace finetune
