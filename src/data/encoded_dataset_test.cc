// Tests data sets of encoded images of several sizes, from DatasetBuilder to the batches of
// BatchLoader.

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/data/builder.h"
#include "src/data/dataset.h"
#include "src/data/decode/decode.h"
#include "src/data/decode/test_images.h"
#include "src/data/loader.h"
#include "src/data/pipeline.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int kImages = 10;

ImageSize SizeOf(int image) { return {6 + image % 3, 8 + image % 4}; }

// Returns the encoded file of image number `image`. All its pixels are grey with the value
// 20 * image. Images with even numbers are JPEGs, those with odd numbers PNGs.
std::string FileOf(int image) {
  const ImageSize size = SizeOf(image);
  const auto grey = static_cast<uint8_t>(20 * image);
  return image % 2 == 0 ? FlatJpeg(size.height, size.width, grey)
                        : FlatPng(size.height, size.width, grey, grey, grey);
}

class EncodedDatasetTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = EmptyTestFolder() + "/data"; }

  // Builds a data set of the files FileOf(). `files`: for some image numbers, bytes to store
  // instead of FileOf().
  void Build(const std::vector<std::pair<int, std::string>>& files = {}) {
    DatasetBuilder::Options options;
    options.folder = folder_;
    options.force = true;
    options.shards = 2;
    options.name = "test";
    options.class_names = {"a", "b", "c"};
    options.channels = 3;
    options.encoded = true;
    auto builder = DatasetBuilder::Create(options);
    ASSERT_TRUE(builder.ok()) << builder.status();
    for (const char* split : {"train", "test"}) {
      ASSERT_TRUE(builder->BeginSplit(split, kImages).ok());
      for (int i = 0; i < kImages; ++i) {
        std::string bytes = FileOf(i);
        for (const auto& [index, file] : files) {
          if (index == i) bytes = file;
        }
        const auto image = DecodeImage("x", FileOf(i));
        ASSERT_TRUE(image.ok()) << image.status();
        const PixelSums sums = SumPixels(image->pixels, 3);
        ASSERT_TRUE(builder->AddEncoded(bytes, SizeOf(i), i % 3, &sums).ok());
      }
    }
    const absl::Status finished = builder->Finish();
    ASSERT_TRUE(finished.ok()) << finished;
  }

  absl::StatusOr<std::unique_ptr<BatchLoader>> OpenLoader(const LoaderOptions& options,
                                                          int workers = 2) const {
    SplitConfig split;
    split.set_path(folder_);
    split.set_split("train");
    split.set_total_batch_size(kImages);
    split.set_workers(workers);
    split.set_shuffle(false);
    split.add_pipeline()->mutable_center_crop()->set_size(4);
    FT_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> dataset, Dataset::Open(folder_, "train"));
    return BatchLoader::Create(std::move(dataset), split, options);
  }

  std::string folder_;
};

TEST_F(EncodedDatasetTest, HoldsTheFilesAsTheyWere) {
  Build();
  const auto dataset = Dataset::Open(folder_, "test");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_TRUE((*dataset)->encoded());
  EXPECT_EQ((*dataset)->manifest().format_version(), kEncodedFormatVersion);
  EXPECT_EQ((*dataset)->manifest().height(), 0) << "of several sizes";
  ASSERT_EQ((*dataset)->size(), kImages);
  std::string bytes;
  int64_t label = -1;
  for (int i = kImages - 1; i >= 0; --i) {
    ASSERT_TRUE((*dataset)->ReadEncoded(i, &bytes, &label).ok());
    EXPECT_EQ(bytes, FileOf(i));
    EXPECT_EQ(label, i % 3);
    EXPECT_EQ((*dataset)->SizeOf(i), SizeOf(i));
  }
  EXPECT_EQ((*dataset)->ReadEncoded(kImages, &bytes, &label).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ((*dataset)->Describe(7),
            folder_ + "/test-00001-of-00002.h5: image 2 (7 of split test)");
}

// A large image must have no more weight than a small one, because the pipeline resizes all to the
// same number of pixels.
TEST_F(EncodedDatasetTest, MeanAndStdCountEachImageTheSame) {
  Build();
  const auto manifest = ReadManifest(folder_);
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  double mean = 0, squares = 0;
  for (int i = 0; i < kImages; ++i) {
    mean += 20.0 * i / kImages;
    squares += 400.0 * i * i / kImages;
  }
  for (int c = 0; c < 3; ++c) {
    EXPECT_NEAR(manifest->mean(c), mean, 1e-9);
    EXPECT_NEAR(manifest->std(c), std::sqrt(squares - mean * mean), 1e-9);
  }
}

TEST_F(EncodedDatasetTest, BatchesAreTheDecodedImages) {
  Build();
  for (const int workers : {1, 3}) {
    auto loader = OpenLoader({.stored = true}, workers);
    ASSERT_TRUE(loader.ok()) << loader.status();
    EXPECT_FALSE((*loader)->stored()) << "decoded ones are prepared here";
    EXPECT_FALSE((*loader)->PipelineOn(at::kCPU).has_value());
    for (int epoch = 0; epoch < 2; ++epoch) {
      const auto batch = (*loader)->Next();
      ASSERT_TRUE(batch.ok()) << batch.status();
      ASSERT_EQ(batch->images.sizes(), at::IntArrayRef({kImages, 3, 4, 4}));
      for (int i = 0; i < kImages; ++i) {
        EXPECT_EQ(batch->images[i].min().item<float>(), 20 * i);
        EXPECT_EQ(batch->images[i].max().item<float>(), 20 * i);
        EXPECT_EQ(batch->labels[i].item<int64_t>(), i % 3);
      }
    }
    EXPECT_TRUE((*loader)->TakeSkipped().empty());
  }
}

// Returns the batch of a data set with one image: a JPEG of 61x75 pixels whose values are a linear
// function of the position, and which is turned on its side by its EXIF orientation.
at::Tensor BatchOfSlope(const std::string& folder, int size, const LoaderOptions& options) {
  constexpr int kHeight = 61, kWidth = 75;
  std::vector<uint8_t> pixels;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      pixels.insert(pixels.end(), 3, static_cast<uint8_t>(20 + 2 * y + x));
    }
  }
  const std::string jpeg =
      Jpeg(kHeight, kWidth, pixels, {.subsampling = "4:2:0", .orientation = 6});
  DatasetBuilder::Options builder_options;
  builder_options.folder = folder;
  builder_options.force = true;
  builder_options.class_names = {"a"};
  builder_options.channels = 3;
  builder_options.encoded = true;
  auto builder = DatasetBuilder::Create(builder_options);
  EXPECT_TRUE(builder.ok()) << builder.status();
  EXPECT_TRUE(builder->BeginSplit("train", 1).ok());
  const PixelSums sums = SumPixels(pixels, 3);
  EXPECT_TRUE(builder->AddEncoded(jpeg, {kWidth, kHeight}, 0, &sums).ok());
  EXPECT_TRUE(builder->Finish().ok());
  SplitConfig split;
  split.set_total_batch_size(1);
  RandomResizedCropConfig* crop = split.add_pipeline()->mutable_random_resized_crop();
  crop->set_size(size);
  crop->set_min_area(0.5);
  crop->set_antialias(true);
  auto dataset = Dataset::Open(folder, "train");
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  auto loader = BatchLoader::Create(*std::move(dataset), split, options);
  EXPECT_TRUE(loader.ok()) << loader.status();
  const auto batch = (*loader)->Next();
  EXPECT_TRUE(batch.ok()) << batch.status();

  // The expected result: the whole image is decoded and prepared with the same draws.
  const ImageShape shape = {3, kWidth, kHeight};
  const Pipeline& pipeline = (*loader)->pipeline();
  std::vector<int64_t> draws(pipeline.draws());
  pipeline.Draw(options.seed, 0, 0, shape, draws.data());
  Pipeline::Scratch scratch;
  at::Tensor whole = at::empty({size, size, 3});
  pipeline.Apply(DecodeImage("x", jpeg)->pixels, shape, draws.data(), &scratch,
                 whole.mutable_data_ptr<float>());
  return batch->images[0].permute({1, 2, 0}) - whole;
}

TEST_F(EncodedDatasetTest, PartsThatAreNotScaledGiveTheBitsOfWholeImages) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const LoaderOptions options = {.seed = seed};
    EXPECT_EQ(BatchOfSlope(folder_, 50, options).abs().max().item<float>(), 0);
  }
}

TEST_F(EncodedDatasetTest, ScalesWhereACropShrinksToHalfUnlessDecodingIsExact) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const float scaled = BatchOfSlope(folder_, 9, {.seed = seed}).abs().max().item<float>();
    EXPECT_GT(scaled, 0);
    EXPECT_LT(scaled, 6) << "the same draws give the same place";
    EXPECT_EQ(
        BatchOfSlope(folder_, 9, {.seed = seed, .exact_decoding = true}).abs().max().item<float>(),
        0);
  }
}

TEST_F(EncodedDatasetTest, FailNamesTheShardTheImageAndTheCause) {
  Build({{7, "no image"}});
  auto loader = OpenLoader({});
  ASSERT_TRUE(loader.ok()) << loader.status();
  const absl::Status status = (*loader)->Next().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith(folder_ +
                                  "/train-00001-of-00002.h5: image 2 (7 of split train): is not an "
                                  "image; expected"));
  // The second image's size differs from its size in the shard's table.
  Build({{1, FlatPng(30, 40, 1, 2, 3)}});
  loader = OpenLoader({});
  ASSERT_TRUE(loader.ok()) << loader.status();
  EXPECT_THAT(std::string((*loader)->Next().status().message()),
              HasSubstr("image 1 (1 of split train): is 30x40 (height x width); expected 7x9"));
}

TEST_F(EncodedDatasetTest, SkipPutsTheNextWholeImageInItsPlaceAndNamesItOnce) {
  Build({{4, "no image"}, {5, FlatJpeg(8, 9, 0).substr(0, 300)}, {9, "x"}});
  auto loader = OpenLoader({.on_corrupt = DataConfig::SKIP});
  ASSERT_TRUE(loader.ok()) << loader.status();
  for (int epoch = 0; epoch < 2; ++epoch) {
    const auto batch = (*loader)->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    EXPECT_THAT(batch->indices, ElementsAre(0, 1, 2, 3, 6, 6, 6, 7, 8, 0));
    EXPECT_EQ(batch->labels[4].item<int64_t>(), 6 % 3);
    EXPECT_EQ(batch->images[5].max().item<float>(), 120);
  }
  const std::vector<std::string> skipped = (*loader)->TakeSkipped();
  ASSERT_EQ(skipped.size(), 3u);
  EXPECT_THAT(skipped[0], HasSubstr("1 so far): " + folder_ + "/train-00000-of-00002.h5: image 4"));
  EXPECT_THAT(skipped[2], HasSubstr("3 so far): " + folder_ + "/train-00001-of-00002.h5: image 4"));
  EXPECT_TRUE((*loader)->TakeSkipped().empty());
}

TEST_F(EncodedDatasetTest, SkipGivesUpWhereNoImageIsWhole) {
  std::vector<std::pair<int, std::string>> files;
  for (int i = 0; i < kImages; ++i) files.emplace_back(i, "x");
  Build(files);
  auto loader = OpenLoader({.on_corrupt = DataConfig::SKIP});
  ASSERT_TRUE(loader.ok()) << loader.status();
  EXPECT_THAT(std::string((*loader)->Next().status().message()),
              HasSubstr("more than 9 images in a row are damaged: "));
}

TEST_F(EncodedDatasetTest, EvaluationLeavesDamagedImagesOutOfItsBatches) {
  Build({{4, "no image"}, {9, "x"}});
  auto loader = OpenLoader({.training = false, .on_corrupt = DataConfig::SKIP});
  ASSERT_TRUE(loader.ok()) << loader.status();
  for (int time = 0; time < 2; ++time) {
    (*loader)->Seek(0, 0);
    const auto batch = (*loader)->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    EXPECT_THAT(batch->indices, ElementsAre(0, 1, 2, 3, 5, 6, 7, 8));
    ASSERT_EQ(batch->labels.size(0), 8);
    ASSERT_EQ(batch->images.size(0), 8);
    for (int64_t row = 0; row < 8; ++row) {
      EXPECT_EQ(batch->labels[row].item<int64_t>(), batch->indices[row] % 3);
    }
    EXPECT_TRUE(absl::IsOutOfRange((*loader)->Next().status()));
  }
  const std::vector<std::string> skipped = (*loader)->TakeSkipped();
  ASSERT_EQ(skipped.size(), 2u);
  EXPECT_THAT(skipped[0], HasSubstr("skipped a damaged image, which no figure counts"));
  EXPECT_THAT(skipped[0], HasSubstr("image 4"));
}

TEST_F(EncodedDatasetTest, EvaluationOfDamagedImagesAloneGivesAnEmptyBatch) {
  std::vector<std::pair<int, std::string>> files;
  for (int i = 0; i < kImages; ++i) files.emplace_back(i, "x");
  Build(files);
  auto loader = OpenLoader({.training = false, .on_corrupt = DataConfig::SKIP});
  ASSERT_TRUE(loader.ok()) << loader.status();
  const auto batch = (*loader)->Next();
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ(batch->labels.size(0), 0);
  EXPECT_TRUE(batch->indices.empty());
  EXPECT_EQ((*loader)->TakeSkipped().size(), static_cast<size_t>(kImages));
}

TEST_F(EncodedDatasetTest, ManifestsSayOneThing) {
  Build();
  const std::string path = folder_ + "/manifest.pbtxt";
  const std::string text = *ReadFile(path);
  const auto error = [&](const std::string& from, const std::string& to) {
    EXPECT_THAT(text, HasSubstr(from));
    EXPECT_TRUE(WriteFileAtomically(path, absl::StrReplaceAll(text, {{from, to}})).ok());
    return std::string(ReadManifest(folder_).status().message());
  };
  EXPECT_THAT(error("format_version: 2", "format_version: 1"),
              HasSubstr("manifest.pbtxt:1:1: format_version is 1 and encoded true; expected 2 for "
                        "encoded images, else 1"));
  EXPECT_THAT(error("encoded: true", "encoded: false"), HasSubstr("is 2 and encoded false"));
  EXPECT_THAT(error("channels: 3", "channels: 1"), HasSubstr("channels is 1; encoded"));
  EXPECT_THAT(error("height: 0", "height: 5"), HasSubstr("width is 0; expected 1 to 67108864"));
}

}  // namespace
}  // namespace finetune
