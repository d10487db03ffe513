// EncodedShardReader must read what EncodedShardWriter writes, and refuse damaged and other files.

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/data/encoded_shard_reader.h"
#include "src/data/encoded_shard_writer.h"
#include "src/data/shard_writer.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kClasses = 3;

// Returns bytes that differ from image to image.
std::string Bytes(int64_t image, size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(image * 37 + i * i * 11 + i / 7);
  return bytes;
}

ImageSize SizeOf(int64_t image) {
  return {static_cast<int>(1 + image % 50), static_cast<int>(7 + image % 90)};
}

class EncodedShardTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    path_ = folder_ + "/x.h5";
  }

  void Write(const std::vector<size_t>& sizes) {
    auto writer = EncodedShardWriter::Create(path_, static_cast<int64_t>(sizes.size()));
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (size_t i = 0; i < sizes.size(); ++i) {
      const auto image = static_cast<int64_t>(i);
      ASSERT_TRUE(
          (*writer)->Append(Bytes(image, sizes[i]), SizeOf(image), image * image % kClasses).ok());
    }
    const absl::Status finished = (*writer)->Finish();
    ASSERT_TRUE(finished.ok()) << finished;
  }

  absl::StatusOr<std::unique_ptr<EncodedShardReader>> Open(int64_t count, int side = 0,
                                                           bool keep_open = true) const {
    DatasetManifest manifest;
    manifest.set_encoded(true);
    manifest.set_height(side);
    manifest.set_width(side);
    manifest.set_channels(3);
    for (int i = 0; i < kClasses; ++i) manifest.add_class_name(absl::StrCat(i));
    DatasetShard entry;
    entry.set_file("x.h5");
    entry.set_count(count);
    return EncodedShardReader::Open(folder_, entry, manifest, keep_open);
  }

  std::string Refusal(int64_t count, int side = 0) const {
    const auto reader = Open(count, side);
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kDataLoss) << reader.status();
    return absl::StrReplaceAll(std::string(reader.status().message()), {{path_, "x.h5"}});
  }

  std::string folder_, path_;
};

TEST_F(EncodedShardTest, ReadsWhatWasWrittenInAnyOrder) {
  // The sizes of images that share a chunk of 256 KiB, fill exactly one chunk, cross the border of
  // two chunks, or need many chunks.
  const size_t chunk = 256 << 10;
  for (const std::vector<size_t>& sizes : {std::vector<size_t>{1},
                                           {5, 1, 70000},
                                           {chunk},
                                           {chunk, chunk},
                                           {chunk - 1, 1, 1},
                                           {1, chunk, 2 * chunk + 3, 7},
                                           {100, 5 * chunk},
                                           std::vector<size_t>(3000, 333)}) {
    SCOPED_TRACE(absl::StrCat(sizes.size(), " images, the first of ", sizes[0]));
    Write(sizes);
    const auto count = static_cast<int64_t>(sizes.size());
    for (const bool keep_open : {true, false}) {
      const auto reader = Open(count, 0, keep_open);
      ASSERT_TRUE(reader.ok()) << reader.status();
      ASSERT_EQ((*reader)->size(), count);
      std::string bytes;
      for (int64_t i = count - 1; i >= 0; --i) {
        EXPECT_EQ((*reader)->label(i), i * i % kClasses);
        EXPECT_EQ((*reader)->image_size(i), SizeOf(i));
        EXPECT_EQ((*reader)->bytes(i), static_cast<int64_t>(sizes[i]));
        ASSERT_TRUE((*reader)->Read(i, &bytes).ok());
        ASSERT_TRUE(bytes == Bytes(i, sizes[i])) << i;
        ASSERT_TRUE((*reader)->ReadHead(i, &bytes).ok());
        EXPECT_EQ(bytes, Bytes(i, sizes[i]).substr(0, 16));
      }
    }
  }
}

TEST_F(EncodedShardTest, TheSameImagesMakeTheSameBytes) {
  Write({9, 300000, 40});
  const std::string first = *ReadFile(path_);
  Write({9, 300000, 40});
  EXPECT_TRUE(*ReadFile(path_) == first);
}

TEST_F(EncodedShardTest, TheWriterTakesExactlyWhatWasAnnounced) {
  auto writer = EncodedShardWriter::Create(path_, 1);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->Append("", {1, 1}, 0),
            absl::InvalidArgumentError(path_ + ": an empty image"));
  EXPECT_EQ((*writer)->Finish(), absl::FailedPreconditionError(path_ + ": 0 images of 1 came"));
  ASSERT_TRUE((*writer)->Append("x", {1, 1}, 0).ok());
  EXPECT_EQ((*writer)->Append("y", {1, 1}, 0),
            absl::FailedPreconditionError(path_ + ": more than its 1 images came"));
}

TEST_F(EncodedShardTest, NamesTheImageWhoseBytesAreDamaged) {
  Write({500, 600, 700});
  std::string damaged = *ReadFile(path_);
  const size_t at = damaged.find(Bytes(1, 600));
  ASSERT_NE(at, std::string::npos);
  damaged[at + 300] = static_cast<char>(damaged[at + 300] ^ 4);
  fs::remove(path_);
  std::ofstream(path_, std::ios::binary) << damaged;
  const auto reader = Open(3);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::string bytes;
  EXPECT_TRUE((*reader)->Read(0, &bytes).ok());
  EXPECT_TRUE((*reader)->Read(2, &bytes).ok());
  EXPECT_EQ((*reader)->Read(1, &bytes),
            absl::DataLossError(path_ + ": the checksum of image 1 (bytes 500 to 1099 of its "
                                        "`bytes`) is wrong: the file is damaged. Prepare the data "
                                        "again"));
}

TEST_F(EncodedShardTest, RefusesWhatTheManifestDoesNotSay) {
  Write({10, 20, 30});
  EXPECT_THAT(Refusal(4), HasSubstr("x.h5: offsets is [4]; its manifest says [5]"));
  EXPECT_THAT(Refusal(1000000), HasSubstr("too few for its 1000000 images"));
  EXPECT_EQ(Refusal(3, 9), "x.h5: image 0 is 1x7 (height x width); the manifest says 9x9");
  auto raw = ShardWriter::Create(path_, {1, 2, 2, 3});
  ASSERT_TRUE(raw.ok()) << raw.status();
  ASSERT_TRUE((*raw)->Append(std::vector<uint8_t>(12), 0).ok());
  ASSERT_TRUE((*raw)->Finish().ok());
  EXPECT_THAT(Refusal(1), HasSubstr("x.h5: has no data set bytes"));
}

TEST_F(EncodedShardTest, RefusesSizesAndLabelsThatNoImageHas) {
  const auto write = [&](const ImageSize& size, int64_t label) {
    auto writer = EncodedShardWriter::Create(path_, 1);
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->Append("abc", size, label).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  };
  write({100000, 100000}, 0);
  EXPECT_EQ(Refusal(1),
            "x.h5: image 0 is 100000x100000 (height x width); expected 1 to 67108864 pixels");
  write({0, 5}, 0);
  EXPECT_THAT(Refusal(1), HasSubstr("image 0 is 0x5"));
  write({5, 5}, kClasses);
  EXPECT_EQ(Refusal(1), "x.h5: image 0 has label 3; there are 3 classes");
}

// A truncated file must be refused when it is opened or read. A flipped byte must be refused or
// change nothing that is read.
TEST_F(EncodedShardTest, DamageIsRefusedOrChangesNothing) {
  const std::vector<size_t> sizes = {50, 60, 70};
  Write(sizes);
  const std::string whole = *ReadFile(path_);
  const auto reads = [&](const std::string& content) {
    fs::remove(path_);
    std::ofstream(path_, std::ios::binary) << content;
    const auto reader = Open(3);
    if (!reader.ok()) return false;
    for (int64_t i = 0; i < 3; ++i) {
      std::string bytes;
      if (!(*reader)->Read(i, &bytes).ok()) return false;
      EXPECT_EQ(bytes, Bytes(i, sizes[i]));
      EXPECT_EQ((*reader)->image_size(i), SizeOf(i));
      EXPECT_EQ((*reader)->label(i), i * i % kClasses);
    }
    return true;
  };
  ASSERT_TRUE(reads(whole));
  for (size_t size = 0; size < whole.size(); size += 7) {
    EXPECT_FALSE(reads(whole.substr(0, size))) << size;
  }
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x11);
    if (!reads(damaged)) ++refused;
  }
  EXPECT_GT(refused, 180 + 100);
}

}  // namespace
}  // namespace finetune
