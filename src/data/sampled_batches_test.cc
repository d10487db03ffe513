// Tests a loader whose epochs have some images more than once.
#include <ATen/TensorOperators.h>
#include <google/protobuf/text_format.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"
#include "src/data/builder.h"
#include "src/data/dataset.h"
#include "src/data/device_pipeline.h"
#include "src/data/loader.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;

constexpr int kSide = 8;
constexpr int kImages = 24;
constexpr int64_t kBatch = 6;
constexpr char kBalanced[] = "sampling: CLASS_BALANCED";
constexpr char kRepeated[] = "repeated_augmentation: 3";

// Returns the label of an image of the test's 24: 20 are of class a, 3 of class b, 1 of class c.
int64_t LabelOf(int image) { return image == 7 ? 2 : image % 10 == 3 ? 1 : 0; }

class SampledBatchesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder() + "/data";
    DatasetBuilder::Options options;
    options.folder = folder_;
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
      ASSERT_TRUE(builder->Add(pixels, LabelOf(i)).ok());
    }
    ASSERT_TRUE(builder->Finish().ok());
  }

  std::unique_ptr<BatchLoader> Load(const std::string& settings, bool stored = false) const {
    SplitConfig split;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("total_batch_size: ", kBatch,
                     " workers: 2 pipeline { random_crop { size: 8 padding: 4 } } "
                     "pipeline { normalize {} } ",
                     settings),
        &split));
    auto dataset = Dataset::Open(folder_, "train");
    EXPECT_TRUE(dataset.ok()) << dataset.status();
    auto loader = BatchLoader::Create(*std::move(dataset), split, {.seed = 7, .stored = stored});
    EXPECT_TRUE(loader.ok()) << loader.status();
    return *std::move(loader);
  }

  std::string folder_;
};

struct Visited {
  at::Tensor images;
  std::vector<int64_t> visits, labels;
};

Visited Next(BatchLoader* loader) {
  const absl::StatusOr<Batch> batch = loader->Next();
  EXPECT_TRUE(batch.ok()) << batch.status();
  const std::optional<DevicePipeline> pipeline = loader->PipelineOn(at::kCPU);
  const int64_t* labels = batch->labels.const_data_ptr<int64_t>();
  return {pipeline.has_value() ? pipeline->Apply(*batch) : batch->images.clone(),
          batch->indices,
          {labels, labels + batch->labels.numel()}};
}

TEST_F(SampledBatchesTest, ABalancedEpochHasEquallyManyImagesOfEachClass) {
  const auto loader = Load(kBalanced);
  for (int epoch = 0; epoch < 2; ++epoch) {
    std::vector<int> counts(3);
    for (int b = 0; b < 4; ++b) {
      const Visited batch = Next(loader.get());
      for (size_t i = 0; i < batch.visits.size(); ++i) {
        EXPECT_EQ(batch.labels[i], LabelOf(static_cast<int>(batch.visits[i] % kImages)));
        ++counts[batch.labels[i]];
      }
    }
    EXPECT_THAT(counts, ElementsAre(8, 8, 8));
  }
}

// A random crop has 81 possible places, so two visits of an image rarely get the same crop.
TEST_F(SampledBatchesTest, AnImageIsAugmentedDifferentlyAtEachVisit) {
  for (const bool stored : {false, true}) {
    for (const char* settings : {kBalanced, kRepeated}) {
      const auto loader = Load(settings, stored);
      std::map<int64_t, std::vector<at::Tensor>> by_image;
      for (int b = 0; b < 4; ++b) {
        const Visited batch = Next(loader.get());
        for (size_t i = 0; i < batch.visits.size(); ++i) {
          by_image[batch.visits[i] % kImages].push_back(batch.images[static_cast<int64_t>(i)]);
        }
      }
      int pairs = 0, equal = 0;
      for (const auto& [image, visits] : by_image) {
        for (size_t i = 0; i < visits.size(); ++i) {
          for (size_t j = 0; j < i; ++j) {
            ++pairs;
            equal += visits[i].equal(visits[j]) ? 1 : 0;
          }
        }
      }
      EXPECT_GE(pairs, 20) << settings;
      EXPECT_LE(equal, 2) << settings;
    }
  }
}

TEST_F(SampledBatchesTest, ABatchOfRepeatedImagesHasEachOfThemSoManyTimes) {
  const auto loader = Load(kRepeated);
  for (int b = 0; b < 4; ++b) {
    const Visited batch = Next(loader.get());
    std::map<int64_t, int> counts;
    for (const int64_t visit : batch.visits) ++counts[visit % kImages];
    EXPECT_EQ(counts.size(), 2u);
    for (const auto& [image, count] : counts) EXPECT_EQ(count, 3) << image;
  }
}

TEST_F(SampledBatchesTest, ASoughtBatchIsTheOneOfAnUninterruptedEpoch) {
  for (const char* settings : {kBalanced, kRepeated}) {
    const auto whole = Load(settings), sought = Load(settings);
    for (int b = 0; b < 6; ++b) Next(whole.get());
    sought->Seek(/*epoch=*/1, /*iteration=*/2);
    for (int b = 0; b < 4; ++b) {
      const Visited expected = Next(whole.get()), found = Next(sought.get());
      EXPECT_EQ(found.visits, expected.visits);
      EXPECT_TRUE(found.images.equal(expected.images));
    }
  }
}

TEST_F(SampledBatchesTest, ClassesAreCountedWithoutTheSampling) {
  EXPECT_THAT(Load(kBalanced)->class_counts(), ElementsAre(20, 3, 1));
}

}  // namespace
}  // namespace finetune
