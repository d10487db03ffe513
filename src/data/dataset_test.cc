#include "src/data/dataset.h"

#include <fcntl.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/fd.h"
#include "src/base/list_folder.h"
#include "src/base/test_folder.h"
#include "src/data/builder.h"
#include "src/data/loader.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kSide = 6;
constexpr size_t kImageBytes = size_t{kSide} * kSide * 3;

std::vector<uint8_t> Pixels(int64_t image) {
  std::vector<uint8_t> pixels(kImageBytes);
  for (size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<uint8_t>(image * 37 + i * 11);
  }
  return pixels;
}

struct LabeledImage {
  std::vector<uint8_t> pixels = std::vector<uint8_t>(kImageBytes);
  int64_t label = -1;
};

absl::StatusOr<LabeledImage> Get(const Dataset& dataset, int64_t index) {
  LabeledImage image;
  FT_RETURN_IF_ERROR(dataset.Read({index}, image.pixels.data(), &image.label));
  return image;
}

// Builds a data set of 20 training and 5 test images of 6x6 pixels.
absl::Status Build(const std::string& folder, int shards, bool force = false) {
  DatasetBuilder::Options options;
  options.folder = folder;
  options.shards = shards;
  options.force = force;
  options.name = "test";
  options.class_names = {"a", "b", "c"};
  options.height = options.width = kSide;
  options.channels = 3;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
  for (const auto& [split, count] : {std::pair{"train", 20}, std::pair{"test", 5}}) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(split, count));
    for (int i = 0; i < count; ++i) {
      FT_RETURN_IF_ERROR(builder.Add(Pixels(i), i % 3));
    }
  }
  return builder.Finish();
}

// Writes a file quickly, without syncing it to disk: a test writes thousands of files. The old file
// is removed first, because some file systems sync a file that is truncated and written again.
void Overwrite(const std::string& path, const std::string& bytes) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST(Dataset, HoldsTheSameImagesInAnyNumberOfShards) {
  for (int shards = 1; shards <= 9; ++shards) {
    const std::string folder = EmptyTestFolder() + "/data";
    ASSERT_TRUE(Build(folder, shards).ok());
    auto dataset = Dataset::Open(folder, "train");
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    ASSERT_EQ((*dataset)->size(), 20);
    for (int i = 19; i >= 0; --i) {
      const absl::StatusOr<LabeledImage> image = Get(**dataset, i);
      ASSERT_TRUE(image.ok()) << image.status();
      EXPECT_EQ(image->label, i % 3);
      EXPECT_EQ(image->pixels, Pixels(i));
    }
  }
}

TEST(Dataset, ReadsMappedLabels) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 2).ok());
  auto dataset = Dataset::Open(folder, "train");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  (*dataset)->MapLabels({7, 0, 3});
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(Get(**dataset, i)->label, (std::vector<int64_t>{7, 0, 3})[i % 3]);
  }
}

// A data set may have more shards than a process may have open files.
TEST(Dataset, ReadsMoreShardsThanFilesMayBeOpen) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 20).ok());
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  // Allow only the files that are open now and five more, for HDF5 and for the shard that is being
  // read.
  const Fd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
  rlimit few = before;
  few.rlim_cur = static_cast<rlim_t>(next.get()) + 5;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  auto dataset = Dataset::Open(folder, "train");
  std::vector<absl::StatusOr<LabeledImage>> images;
  for (int i = 0; dataset.ok() && i < 20; ++i) images.push_back(Get(**dataset, i));
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(images[i].ok()) << images[i].status();
    EXPECT_EQ(images[i]->pixels, Pixels(i));
  }

  // Reading fails if another file has been put in the place of a shard that was open before.
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  dataset = Dataset::Open(folder, "train");
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  const std::string shard = folder + "/train-00003-of-00020.h5";
  fs::rename(shard, shard + ".old");
  fs::copy_file(shard + ".old", shard);
  EXPECT_EQ(Get(**dataset, 3).status().message(),
            shard + ": another file took its place while it was in use. Start the run again");
}

TEST(Dataset, EveryTruncationOfAShardIsRefused) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 1).ok());
  const std::string path = folder + "/train-00000-of-00001.h5";
  const std::string whole = *ReadFile(path);
  for (size_t size = 0; size < whole.size(); ++size) {
    Overwrite(path, whole.substr(0, size));
    auto dataset = Dataset::Open(folder, "train");
    ASSERT_FALSE(dataset.ok()) << "at " << size << " of " << whole.size();
    EXPECT_THAT(std::string(dataset.status().message()), HasSubstr(path));
  }
}

// HDF5 by itself would read some of these files without an error and return an image of zeros.
TEST(Dataset, AFlippedByteIsRefusedOrChangesNothing) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 1).ok());
  const std::string path = folder + "/train-00000-of-00001.h5";
  const std::string whole = *ReadFile(path);
  size_t refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(~damaged[at]);
    Overwrite(path, damaged);
    const auto dataset = Dataset::Open(folder, "train");
    if (!dataset.ok()) {
      EXPECT_EQ(dataset.status().code(), absl::StatusCode::kDataLoss) << at;
      EXPECT_THAT(std::string(dataset.status().message()), HasSubstr(path)) << at;
      ++refused;
      continue;
    }
    for (int64_t i = 0; i < 20; ++i) {
      const absl::StatusOr<LabeledImage> image = Get(**dataset, i);
      if (!image.ok()) {
        EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss) << at;
        EXPECT_THAT(std::string(image.status().message()), HasSubstr(path)) << at;
        ++refused;
        break;
      }
      ASSERT_EQ(image->pixels, Pixels(i)) << at;
      ASSERT_EQ(image->label, i % 3) << at;
    }
  }
  EXPECT_GT(refused, 20 * kImageBytes) << "of " << whole.size();
}

TEST(DatasetBuilder, DoesNotReplaceWithoutForceAndKeepsTheOldOneWhenItFails) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 2).ok());
  EXPECT_EQ(Build(folder, 3).code(), absl::StatusCode::kAlreadyExists);
  {
    DatasetBuilder::Options options;
    options.folder = folder;
    options.force = true;
    options.class_names = {"a"};
    options.height = options.width = kSide;
    options.channels = 3;
    auto builder = DatasetBuilder::Create(options);
    ASSERT_TRUE(builder.ok()) << builder.status();
    ASSERT_TRUE(builder->BeginSplit("train", 2).ok());
    const absl::Status wrong = builder->Add(std::vector<uint8_t>(kImageBytes), 1);
    EXPECT_EQ(wrong.message(), "label 1; expected 0 to 0");
  }
  EXPECT_TRUE(Dataset::Open(folder, "train").ok());
  ASSERT_TRUE(Build(folder, 3, /*force=*/true).ok());
  EXPECT_THAT(*ListFolder(fs::path(folder).parent_path()), testing::ElementsAre("data"));
}

TEST(Manifest, ErrorsSayWhatToDo) {
  EXPECT_THAT(std::string(ReadManifest("/nowhere").status().message()),
              HasSubstr("write one with prepare_dataset"));
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 1).ok());
  EXPECT_EQ(Dataset::Open(folder, "val").status().message(),
            "no split \"val\" in data set test; it has train, test");
  ASSERT_TRUE(WriteFileAtomically(folder + "/manifest.pbtxt", "format_version: 1\nclas: 2").ok());
  EXPECT_THAT(std::string(ReadManifest(folder).status().message()),
              HasSubstr("manifest.pbtxt:2:5"));
}

SplitConfig Split(const std::string& folder, int workers) {
  SplitConfig split;
  split.set_path(folder);
  split.set_split("train");
  split.set_total_batch_size(6);
  split.set_workers(workers);
  split.add_pipeline()->mutable_random_crop()->set_size(4);
  split.add_pipeline()->mutable_random_flip();
  split.add_pipeline()->mutable_normalize();
  return split;
}

absl::StatusOr<std::unique_ptr<BatchLoader>> OpenLoader(const SplitConfig& split,
                                                        const LoaderOptions& options) {
  FT_ASSIGN_OR_RETURN(std::unique_ptr<Dataset> dataset, Dataset::Open(split.path(), split.split()));
  return BatchLoader::Create(std::move(dataset), split, options);
}

std::vector<float> Take(BatchLoader* loader, int count) {
  std::vector<float> all;
  for (int i = 0; i < count; ++i) {
    const auto batch = loader->Next();
    EXPECT_TRUE(batch.ok()) << batch.status();
    const at::Tensor images = batch->images.contiguous();
    all.insert(all.end(), images.const_data_ptr<float>(),
               images.const_data_ptr<float>() + images.numel());
  }
  return all;
}

TEST(BatchLoader, BatchesDoNotDependOnWorkersAndGoOnWhereSought) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 3).ok());
  auto one = OpenLoader(Split(folder, 1), {}), three = OpenLoader(Split(folder, 3), {});
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_TRUE(three.ok()) << three.status();
  // An epoch has 4 batches (6, 6, 6 and 2 images), so the third epoch begins after 8 batches, that
  // is, after 40 images.
  const std::vector<float> all = Take(one->get(), 12);
  EXPECT_EQ(all, Take(three->get(), 12));
  (*three)->Seek(2, 1);
  constexpr ptrdiff_t kImage = ptrdiff_t{4} * 4 * 3;
  EXPECT_EQ(Take(three->get(), 2),
            std::vector<float>(all.begin() + (40 + 6) * kImage, all.begin() + (40 + 18) * kImage));
}

TEST(BatchLoader, RanksTogetherHaveTheBatchOfOne) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 3).ok());
  auto one = OpenLoader(Split(folder, 1), {});
  ASSERT_TRUE(one.ok()) << one.status();
  std::vector<std::unique_ptr<BatchLoader>> parts;
  for (int rank = 0; rank < 4; ++rank) {
    auto part = OpenLoader(Split(folder, 1), {.rank = rank, .world_size = 4});
    ASSERT_TRUE(part.ok()) << part.status();
    parts.push_back(*std::move(part));
  }
  for (int i = 0; i < 8; ++i) {
    std::vector<float> joined;
    for (auto& part : parts) {
      const std::vector<float> mine = Take(part.get(), 1);
      joined.insert(joined.end(), mine.begin(), mine.end());
    }
    EXPECT_EQ(joined, Take(one->get(), 1)) << i;
  }
}

TEST(BatchLoader, StoredImagesBecomeThePreparedOnes) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 3).ok());
  auto prepared = OpenLoader(Split(folder, 2), {});
  auto stored = OpenLoader(Split(folder, 2), {.stored = true});
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  ASSERT_TRUE(stored.ok()) << stored.status();
  EXPECT_FALSE((*prepared)->PipelineOn(at::kCPU).has_value());
  const std::optional<DevicePipeline> pipeline = (*stored)->PipelineOn(at::kCPU);
  ASSERT_TRUE(pipeline.has_value());
  // These batches include the smaller last batch of an epoch.
  for (int i = 0; i < 5; ++i) {
    const auto batch = (*stored)->Next();
    const auto expected = (*prepared)->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_TRUE(expected.ok()) << expected.status();
    EXPECT_EQ(batch->images.scalar_type(), at::kByte);
    EXPECT_EQ(batch->indices, expected->indices);
    EXPECT_TRUE(batch->labels.equal(expected->labels));
    // The CPU normalizes with a fused multiply-add, while LibTorch's operators also round after the
    // multiplication. So results differ by about one rounding of a number near 1.
    EXPECT_TRUE(pipeline->Apply(*batch).allclose(expected->images, /*rtol=*/1e-6, /*atol=*/1e-6))
        << i;
  }
}

TEST(BatchLoader, EvaluationEndsAndADamagedShardIsReported) {
  const std::string folder = EmptyTestFolder() + "/data";
  ASSERT_TRUE(Build(folder, 1).ok());
  auto loader = OpenLoader(Split(folder, 2), {.training = false});
  ASSERT_TRUE(loader.ok()) << loader.status();
  Take(loader->get(), 4);
  EXPECT_EQ((*loader)->Next().status().code(), absl::StatusCode::kOutOfRange);
  ASSERT_TRUE(WriteFileAtomically(folder + "/train-00000-of-00001.h5", "x").ok());
  EXPECT_EQ(OpenLoader(Split(folder, 2), {}).status().code(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace finetune
