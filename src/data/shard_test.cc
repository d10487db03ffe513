// ShardReader must read what ShardWriter writes, and refuse damaged and other files.

#include <hdf5.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"
#include "src/data/shard_reader.h"
#include "src/data/shard_writer.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kSide = 6;
constexpr int kImageBytes = kSide * kSide * 3;
constexpr int kClasses = 3;

std::vector<uint8_t> Pixels(int64_t image, size_t bytes = kImageBytes) {
  std::vector<uint8_t> pixels(bytes);
  for (size_t i = 0; i < bytes; ++i) pixels[i] = static_cast<uint8_t>(image * 37 + i * 11);
  return pixels;
}

class ShardTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    path_ = folder_ + "/x.h5";
  }

  static DatasetManifest Manifest(int side = kSide, int channels = 3) {
    DatasetManifest manifest;
    manifest.set_height(side);
    manifest.set_width(side);
    manifest.set_channels(channels);
    for (int i = 0; i < kClasses; ++i) manifest.add_class_name(absl::StrCat(i));
    return manifest;
  }

  absl::StatusOr<std::unique_ptr<ShardReader>> Open(
      int64_t count, const DatasetManifest& manifest = Manifest()) const {
    DatasetShard entry;
    entry.set_file("x.h5");
    entry.set_count(count);
    return ShardReader::Open(folder_, entry, manifest);
  }

  std::string Refusal(int64_t count) const {
    const auto reader = Open(count);
    EXPECT_EQ(reader.status().code(), absl::StatusCode::kDataLoss) << reader.status();
    return absl::StrReplaceAll(std::string(reader.status().message()), {{path_, "x.h5"}});
  }

  std::string folder_, path_;
};

TEST_F(ShardTest, ReadsWhatWasWrittenInAnyOrder) {
  struct Case {
    int64_t count;
    int side, channels;
  };
  // A chunk holds 2427 images of 6x6x3 bytes, 4 of 256x256x1, or 1 of 300x300x3.
  for (const auto& [count, side, channels] :
       {Case{1, kSide, 3}, Case{2427, kSide, 3}, Case{5000, kSide, 3}, Case{9, 256, 1},
        Case{3, 300, 3}, Case{40000, 1, 1}}) {
    SCOPED_TRACE(absl::StrCat(count, " images of ", side));
    const size_t bytes = size_t(channels) * side * side;
    auto writer = ShardWriter::Create(
        path_, {.count = count, .height = side, .width = side, .channels = channels});
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (int64_t i = 0; i < count; ++i) {
      ASSERT_TRUE((*writer)->Append(Pixels(i, bytes), i * i % kClasses).ok());
    }
    const absl::Status finished = (*writer)->Finish();
    ASSERT_TRUE(finished.ok()) << finished;
    const auto reader = Open(count, Manifest(side, channels));
    ASSERT_TRUE(reader.ok()) << reader.status();
    ASSERT_EQ((*reader)->size(), count);
    std::vector<uint8_t> pixels(bytes);
    for (int64_t i = count - 1; i >= 0; --i) {
      ASSERT_EQ((*reader)->label(i), i * i % kClasses);
      ASSERT_TRUE((*reader)->Read(i, pixels.data()).ok());
      ASSERT_EQ(pixels, Pixels(i, bytes)) << i;
    }
  }
}

// The file must hold no times, so that the same images give the same bytes whenever they are
// prepared.
TEST_F(ShardTest, HoldsNoTimeOfDay) {
  auto writer = ShardWriter::Create(path_, {1, kSide, kSide, 3});
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Append(Pixels(0), 0).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  const hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  for (const char* object : {"/", "/images", "/labels"}) {
    H5O_info_t info = {};
    ASSERT_GE(H5Oget_info_by_name(file, object, &info, H5P_DEFAULT), 0) << object;
    EXPECT_EQ(info.atime, 0) << object;
    EXPECT_EQ(info.mtime, 0) << object;
    EXPECT_EQ(info.ctime, 0) << object;
    EXPECT_EQ(info.btime, 0) << object;
  }
  H5Fclose(file);
}

TEST_F(ShardTest, TheWriterTakesExactlyWhatWasAnnounced) {
  const ShardShape shape = {.count = 2, .height = kSide, .width = kSide, .channels = 3};
  auto writer = ShardWriter::Create(path_, shape);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->Append(Pixels(0, 5), 0),
            absl::InvalidArgumentError(path_ + ": an image of 5 bytes; expected 108"));
  ASSERT_TRUE((*writer)->Append(Pixels(0), 0).ok());
  EXPECT_EQ((*writer)->Finish(), absl::FailedPreconditionError(path_ + ": 1 images of 2 came"));

  (*writer).reset();
  writer = ShardWriter::Create(path_, shape);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Append(Pixels(0), 0).ok());
  ASSERT_TRUE((*writer)->Append(Pixels(1), 1).ok());
  EXPECT_EQ((*writer)->Append(Pixels(2), 2),
            absl::FailedPreconditionError(path_ + ": more than its 2 images came"));
  EXPECT_TRUE((*writer)->Finish().ok());

  EXPECT_EQ(ShardWriter::Create(path_, {.count = 0, .height = 1, .width = 1, .channels = 1})
                .status()
                .message(),
            path_ + ": a shard of no images");
  EXPECT_EQ(ShardWriter::Create(folder_ + "/nowhere/x.h5", shape).status().message(),
            folder_ + "/nowhere/x.h5: cannot create: No such file or directory");
}

TEST_F(ShardTest, RefusesFoldersPipesAndOtherFormats) {
  EXPECT_EQ(Open(1).status(),
            absl::NotFoundError(absl::StrCat(
                "cannot open ", path_, ": No such file or directory; its manifest lists it")));
  fs::create_directories(path_);
  EXPECT_EQ(Refusal(1), "x.h5: expected a regular file");
  fs::remove(path_);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(Refusal(1), "x.h5: expected a regular file") << "and nobody waits for its other end";
  fs::remove(path_);
  std::ofstream(path_) << std::string(1000, 'x');
  EXPECT_EQ(Refusal(1), "x.h5: cannot be read as a whole HDF5 file: file signature not found");
  EXPECT_EQ(Refusal(9),
            "x.h5: has 1000 bytes, too few for its 9 images of 108 bytes: it is cut short. Prepare "
            "the data again");
}

// Describes an HDF5 data set of a hostile file, which may differ from what ShardWriter writes.
struct Hostile {
  hid_t type = H5T_STD_U8LE;
  std::vector<hsize_t> shape;
  // The shape of a chunk. Empty: the data set is not chunked.
  std::vector<hsize_t> chunk;
  // Called to change the data set's creation options, for example to add filters.
  std::function<void(hid_t options)> set = [](hid_t options) { H5Pset_fletcher32(options); };
  // Whether the data set's values are written.
  bool written = true;
};

class HostileShardTest : public ShardTest {
 protected:
  static constexpr hsize_t kCount = 4;

  // Writes a file with the data sets `images` and `labels`, and a third one as padding. With the
  // padding the file is large enough for the images that it claims.
  void Write(const Hostile& images, const Hostile& labels, int64_t first_label = 0) {
    const hid_t file = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    const std::vector<uint8_t> zeros(1 << 16);
    Hostile padding;
    padding.shape = {zeros.size()};
    padding.set = [](hid_t) {};
    Put(file, "padding", padding, H5T_NATIVE_UINT8, zeros.data());
    Put(file, "images", images, H5T_NATIVE_UINT8, zeros.data());
    std::vector<int64_t> values(1 << 10, 0);
    values[2] = first_label;
    Put(file, "labels", labels, H5T_NATIVE_INT64, values.data());
    ASSERT_GE(H5Fclose(file), 0);
  }
  // Writes that file and returns the error with which ShardReader refuses it.
  std::string RefusalOf(const Hostile& images, const Hostile& labels, int64_t first_label = 0) {
    Write(images, labels, first_label);
    return Refusal(kCount);
  }

  static Hostile Images() {
    Hostile images;
    images.shape = images.chunk = {kCount, kSide, kSide, 3};
    return images;
  }
  static Hostile Labels() {
    Hostile labels;
    labels.type = H5T_STD_I64LE;
    labels.shape = labels.chunk = {kCount};
    return labels;
  }

 private:
  static void Put(hid_t file, const char* name, const Hostile& what, hid_t memory,
                  const void* values) {
    if (what.shape.empty()) return;
    const hid_t space =
        H5Screate_simple(static_cast<int>(what.shape.size()), what.shape.data(), nullptr);
    const hid_t options = H5Pcreate(H5P_DATASET_CREATE);
    if (!what.chunk.empty()) {
      H5Pset_chunk(options, static_cast<int>(what.chunk.size()), what.chunk.data());
    }
    what.set(options);
    const hid_t set = H5Dcreate2(file, name, what.type, space, H5P_DEFAULT, options, H5P_DEFAULT);
    ASSERT_GE(set, 0) << name;
    if (what.written) {
      ASSERT_GE(H5Dwrite(set, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, values), 0);
    }
    H5Dclose(set);
    H5Pclose(options);
    H5Sclose(space);
  }
};

TEST_F(HostileShardTest, ReadsAFileMadeAsTheWriterMakesIt) {
  Write(Images(), Labels(), 2);
  const auto reader = Open(kCount);
  ASSERT_TRUE(reader.ok()) << reader.status();
  std::vector<uint8_t> pixels(kImageBytes, 9);
  EXPECT_TRUE((*reader)->Read(3, pixels.data()).ok());
  EXPECT_EQ(pixels, std::vector<uint8_t>(kImageBytes, 0));
  EXPECT_EQ((*reader)->label(2), 2);
}

TEST_F(HostileShardTest, RefusesAnotherTypeOrShape) {
  Hostile images = Images();
  images.type = H5T_STD_I32LE;
  EXPECT_EQ(RefusalOf(images, Labels()), "x.h5: images is not of the type expected of it");
  images = Images();
  images.type = H5T_STD_I8LE;
  EXPECT_EQ(RefusalOf(images, Labels()), "x.h5: images is not of the type expected of it");
  Hostile labels = Labels();
  labels.type = H5T_IEEE_F64LE;
  EXPECT_EQ(RefusalOf(Images(), labels), "x.h5: labels is not of the type expected of it");

  images = Images();
  images.shape[0] = images.chunk[0] = 3;
  EXPECT_EQ(RefusalOf(images, Labels()),
            "x.h5: images is [3, 6, 6, 3]; its manifest says [4, 6, 6, 3]");
  images.shape = images.chunk = {kCount, kImageBytes};
  EXPECT_EQ(RefusalOf(images, Labels()),
            "x.h5: images is [4, 108]; its manifest says [4, 6, 6, 3]");
  labels = Labels();
  labels.shape = {kCount, 1};
  labels.chunk = {kCount, 1};
  EXPECT_EQ(RefusalOf(Images(), labels), "x.h5: labels is [4, 1]; its manifest says [4]");
  EXPECT_THAT(RefusalOf({}, Labels()), HasSubstr("x.h5: has no data set images"));
  EXPECT_THAT(RefusalOf(Images(), {}), HasSubstr("x.h5: has no data set labels"));
}

TEST_F(HostileShardTest, RefusesOtherFiltersLayoutsAndPlaces) {
  const std::string message =
      " is not stored as prepare_dataset stores it (chunks of whole images with a Fletcher-32 "
      "sum "
      "and no other filter)";
  const auto set = [&](std::function<void(hid_t)> setting, bool chunks) {
    Hostile images = Images();
    if (!chunks) images.chunk.clear();
    images.set = std::move(setting);
    return RefusalOf(images, Labels());
  };
  const auto deflate = [](hid_t options) { H5Pset_deflate(options, 6); };
  EXPECT_EQ(set(deflate, true), "x.h5: images" + message);
  EXPECT_EQ(set(
                [&](hid_t options) {
                  deflate(options);
                  H5Pset_fletcher32(options);
                },
                true),
            "x.h5: images" + message);
  EXPECT_EQ(set([](hid_t) {}, true), "x.h5: images" + message);
  EXPECT_EQ(set([](hid_t) {}, false), "x.h5: images" + message);
  EXPECT_EQ(set([](hid_t options) { H5Pset_layout(options, H5D_COMPACT); }, false),
            "x.h5: images" + message);
  const std::string outside = folder_ + "/outside";
  EXPECT_EQ(set(
                [&](hid_t options) {
                  H5Pset_external(options, outside.c_str(), 0, kCount * kImageBytes);
                },
                false),
            "x.h5: images" + message);
  Hostile parts = Images();
  parts.chunk = {kCount, kSide, 2, 3};
  EXPECT_EQ(RefusalOf(parts, Labels()), "x.h5: images" + message);
  Hostile labels = Labels();
  labels.set = deflate;
  EXPECT_EQ(RefusalOf(Images(), labels), "x.h5: labels" + message);
}

TEST_F(HostileShardTest, RefusesLinksToOtherPlaces) {
  const std::string other = folder_ + "/other.h5";
  Write(Images(), Labels());
  fs::rename(path_, other);
  for (const bool external : {true, false}) {
    Write({}, Labels());
    const hid_t file = H5Fopen(path_.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    if (external) {
      H5Lcreate_external(other.c_str(), "/images", file, "images", H5P_DEFAULT, H5P_DEFAULT);
    } else {
      H5Lcreate_soft("/padding", file, "images", H5P_DEFAULT, H5P_DEFAULT);
    }
    ASSERT_GE(H5Fclose(file), 0);
    EXPECT_EQ(Refusal(kCount), "x.h5: has no data set images");
  }
}

TEST_F(HostileShardTest, RefusesChunksThatWereNeverWritten) {
  Hostile images = Images();
  images.written = false;
  EXPECT_EQ(RefusalOf(images, Labels()), "x.h5: the chunk of image 0 is missing or broken");
  Hostile labels = Labels();
  labels.written = false;
  EXPECT_EQ(RefusalOf(Images(), labels), "x.h5: the chunk of label 0 is missing or broken");
}

TEST_F(HostileShardTest, RefusesLabelsBeyondTheClasses) {
  for (const int64_t label : {int64_t{kClasses}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
    EXPECT_EQ(RefusalOf(Images(), Labels(), label),
              absl::StrCat("x.h5: image 2 has label ", label, "; there are 3 classes"));
  }
}

}  // namespace
}  // namespace finetune
