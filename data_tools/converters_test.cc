#include "data_tools/converters.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "data_tools/archive.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/data/dataset.h"
#include "src/data/decode/decode.h"
#include "src/data/decode/test_images.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::StartsWith;

using Files = std::map<std::string, std::string>;

// The expected images and labels of a split.
struct Expected {
  std::vector<int64_t> labels;
  std::vector<std::vector<uint8_t>> images;

  bool operator==(const Expected& other) const {
    return labels == other.labels && images == other.images;
  }
};

absl::StatusOr<Expected> ReadSplit(const std::string& folder, const std::string& split) {
  FT_ASSIGN_OR_RETURN(const auto dataset, Dataset::Open(folder, split));
  Expected all;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    all.labels.emplace_back();
    all.images.emplace_back(ImageBytes(dataset->manifest()));
    FT_RETURN_IF_ERROR(dataset->Read({i}, all.images.back().data(), &all.labels.back()));
  }
  return all;
}

void WriteBytes(const fs::path& path, const std::string& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Gzip(const std::string& bytes) {
  z_stream stream = {};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// Returns a tar archive of the files. As in the official archives, they are in a folder, for which
// the archive has an entry too.
std::string Tar(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string bytes(1 << 20, '\0');
  for (const auto& [name, content] : files) bytes.resize(bytes.size() + content.size() + 4096);
  size_t used = 0;
  archive* a = archive_write_new();
  archive_write_set_format_ustar(a);
  EXPECT_EQ(archive_write_open_memory(a, bytes.data(), bytes.size(), &used), ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, "official/");
  archive_entry_set_filetype(entry, AE_IFDIR);
  archive_entry_set_perm(entry, 0755);
  EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
  for (const auto& [name, content] : files) {
    archive_entry_clear(entry);
    archive_entry_set_pathname(entry, ("official/" + name).c_str());
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
    EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
    EXPECT_EQ(archive_write_data(a, content.data(), content.size()),
              static_cast<la_ssize_t>(content.size()));
  }
  archive_entry_free(entry);
  EXPECT_EQ(archive_write_free(a), ARCHIVE_OK);
  bytes.resize(used);
  return bytes;
}

std::string Tar(const Files& files) {
  return Tar(std::vector<std::pair<std::string, std::string>>(files.begin(), files.end()));
}

uint8_t CifarValue(int image, int y, int x, int c) {
  return static_cast<uint8_t>(image * 29 + y * 7 + x * 3 + c * 80);
}

// Returns a record of CIFAR's binary version: the labels, then the red, green and blue plane.
std::string CifarRecord(const std::vector<int>& labels, int image) {
  std::string record;
  for (const int label : labels) record.push_back(static_cast<char>(label));
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        record.push_back(static_cast<char>(CifarValue(image, y, x, c)));
      }
    }
  }
  return record;
}

std::vector<uint8_t> CifarImage(int image) {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 32; ++x) {
      for (int c = 0; c < 3; ++c) pixels.push_back(CifarValue(image, y, x, c));
    }
  }
  return pixels;
}

constexpr char kCifar10Names[] =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

// Returns the files of a small CIFAR-10, with two images in each of its six data files.
Files Cifar10() {
  Files files = {{"batches.meta.txt", kCifar10Names}};
  for (int i = 0; i < 12; ++i) {
    const std::string name =
        i < 10 ? absl::StrCat("data_batch_", i / 2 + 1, ".bin") : "test_batch.bin";
    files[name] += CifarRecord({i * 7 % 10}, i);
  }
  return files;
}

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  return bytes;
}

std::string Idx(const std::vector<uint32_t>& shape, const std::string& data) {
  std::string bytes("\0\0\x08", 3);
  bytes.push_back(static_cast<char>(shape.size()));
  for (const uint32_t side : shape) bytes += BigEndian(side);
  return bytes + data;
}

// Returns the files of a small MNIST with three training and two test images of 4x5 pixels.
Files Mnist() {
  std::string train, test;
  for (int i = 0; i < 3 * 20; ++i) train.push_back(static_cast<char>(i * 4));
  for (int i = 0; i < 2 * 20; ++i) test.push_back(static_cast<char>(255 - i * 5));
  return {{"train-images-idx3-ubyte", Idx({3, 4, 5}, train)},
          {"train-labels-idx1-ubyte", Idx({3}, std::string("\x07\x00\x09", 3))},
          {"t10k-images-idx3-ubyte", Idx({2, 4, 5}, test)},
          {"t10k-labels-idx1-ubyte", Idx({2}, std::string("\x01\x02", 2))}};
}

absl::Status ConvertDigits(const ConvertOptions& options) { return ConvertMnist(options, {}); }

class ConvertersTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = EmptyTestFolder(); }

  // Creates a folder with just these files and returns its path.
  std::string Folder(const Files& files) {
    std::string folder = folder_ + "/in";
    fs::remove_all(folder);
    fs::create_directories(folder);
    for (const auto& [name, bytes] : files) WriteBytes(fs::path(folder) / name, bytes);
    return folder;
  }

  std::string File(const std::string& name, const std::string& bytes) {
    WriteBytes(folder_ + "/" + name, bytes);
    return folder_ + "/" + name;
  }

  ConvertOptions Options(const std::string& input) {
    ConvertOptions options;
    options.input = input;
    options.output = folder_ + "/out/data";
    options.shards = 2;
    options.warn = [this](const std::string& warning) {
      warnings_.push_back(absl::StrReplaceAll(warning, {{folder_, "DIR"}}));
    };
    return options;
  }

  // Converts `input`, expects that only the data set is left behind, and returns the data set's
  // folder.
  template <typename Convert>
  std::string Converted(Convert convert, const std::string& input) {
    fs::remove_all(folder_ + "/out");
    warnings_.clear();
    const ConvertOptions options = Options(input);
    const absl::Status status = convert(options);
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_THAT(Names(folder_ + "/out"), ElementsAre("data"));
    return options.output;
  }

  // Converts `input`, expects an error, and returns it with the test's folder replaced by DIR.
  // Expects that nothing is left behind if the output did not exist, and that a data set which
  // --force would replace stays.
  template <typename Convert>
  std::string Refusal(Convert convert, const std::string& input) {
    fs::remove_all(folder_ + "/out");
    ConvertOptions options = Options(input);
    const absl::Status status = convert(options);
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(fs::exists(folder_ + "/out"));
    EXPECT_TRUE(MakeSynthetic(options, {.classes = 2, .train = 2, .test = 2, .size = 8}).ok());
    options.force = true;
    EXPECT_EQ(convert(options), status);
    EXPECT_THAT(Names(folder_ + "/out"), ElementsAre("data"));
    const auto old = ReadManifest(options.output);
    EXPECT_TRUE(old.ok() && old->name() == "synthetic") << old.status();
    return absl::StrReplaceAll(std::string(status.message()), {{folder_, "DIR"}});
  }

  static std::vector<std::string> Names(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  std::string folder_;
  // The warnings of the last conversion, with the test's folder replaced by DIR.
  std::vector<std::string> warnings_;
};

// Expects that a data set has the images and labels of Cifar10().
void ExpectCifar10(const std::string& folder) {
  Expected train, test;
  for (int i = 0; i < 12; ++i) {
    Expected& split = i < 10 ? train : test;
    split.labels.push_back(i * 7 % 10);
    split.images.push_back(CifarImage(i));
  }
  EXPECT_EQ(*ReadSplit(folder, "train"), train);
  EXPECT_EQ(*ReadSplit(folder, "test"), test);

  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_EQ(manifest.name(), "cifar10");
  EXPECT_THAT(manifest.class_name(), ElementsAre("airplane", "automobile", "bird", "cat", "deer",
                                                 "dog", "frog", "horse", "ship", "truck"));
  ASSERT_EQ(manifest.split_size(), 2);
  EXPECT_EQ(manifest.split(0).shard_size(), 2);
  for (int c = 0; c < 3; ++c) {
    double mean = 0, variance = 0;
    const double n = 10 * 32 * 32;
    for (const auto& image : train.images) {
      for (size_t i = c; i < image.size(); i += 3) mean += image[i] / n;
    }
    for (const auto& image : train.images) {
      for (size_t i = c; i < image.size(); i += 3) {
        variance += (image[i] - mean) * (image[i] - mean) / n;
      }
    }
    EXPECT_NEAR(manifest.mean(c), mean, 1e-9);
    EXPECT_NEAR(manifest.std(c), std::sqrt(variance), 1e-9);
  }
}

TEST_F(ConvertersTest, Cifar10IsTheSameFromAFolderAndFromArchives) {
  ExpectCifar10(Converted(ConvertCifar10, Folder(Cifar10())));
  ExpectCifar10(Converted(ConvertCifar10, File("cifar.tar", Tar(Cifar10()))));
  ExpectCifar10(Converted(ConvertCifar10, File("cifar.tar.gz", Gzip(Tar(Cifar10())))));
  Files deeper;
  for (const auto& [name, bytes] : Cifar10()) deeper["cifar-10-batches-bin/" + name] = bytes;
  ExpectCifar10(Converted(ConvertCifar10, Folder(deeper)));
}

std::string CifarFixture(const std::string& name) { return "tests/fixtures/cifar/" + name; }

// The first archive was pickled by Python 2, as the official copies are, the second one by Python
// 3.
TEST_F(ConvertersTest, Cifar10IsTheSameFromThePythonVersion) {
  ExpectCifar10(Converted(ConvertCifar10, CifarFixture("cifar-10-python.tar.gz")));
  ExpectCifar10(Converted(ConvertCifar10, CifarFixture("cifar-10-python3.tar.gz")));
  const auto files = ReadNamedFiles(CifarFixture("cifar-10-python.tar.gz"),
                                    {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4",
                                     "data_batch_5", "test_batch", "batches.meta"});
  ASSERT_TRUE(files.ok() && files->size() == 7) << files.status();
  Files folder;
  for (const auto& [name, file] : *files) folder["cifar-10-batches-py/" + name] = file.bytes;
  ExpectCifar10(Converted(ConvertCifar10, Folder(folder)));
}

TEST_F(ConvertersTest, Cifar100OfThePythonVersionHasTheFineLabels) {
  const std::string folder = Converted(ConvertCifar100, CifarFixture("cifar-100-python.tar.gz"));
  EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{99, 42}, {CifarImage(0), CifarImage(1)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{20}, {CifarImage(2)}}));
  EXPECT_EQ(ReadManifest(folder)->class_name(42), "fine42");
}

TEST_F(ConvertersTest, NamesTheDamageInAPythonVersion) {
  const auto whole = ReadNamedFiles(CifarFixture("cifar-100-python.tar.gz"), {"train", "test"});
  ASSERT_TRUE(whole.ok()) << whole.status();
  const auto with = [&](const std::string& train) {
    return Refusal(ConvertCifar100, Folder({{"train", train}, {"test", whole->at("test").bytes}}));
  };
  const std::string& train = whole->at("train").bytes;
  EXPECT_EQ(with("no pickle"),
            "DIR/in/train: its pickle is not one of CIFAR's Python version: opcode 0x6e is not "
            "known, at byte 0");
  EXPECT_EQ(with(train.substr(0, 1000)), "DIR/in/train: its pickle is cut off at byte 1000");
  EXPECT_EQ(with("}."), "DIR/in/train: expected a pickled dict with \"data\"");
  EXPECT_EQ(with("}U\4datacos\nsystem\n(U\2idtRs."), "DIR/in/train: data: expected a numpy array");
  // Change label 99 to 100.
  std::string label = train;
  const size_t at = label.find("fine_labels");
  ASSERT_NE(at, std::string::npos);
  label[label.find('c', at + 11)] = 'd';
  EXPECT_EQ(with(label), "DIR/in/train: fine_labels: label 0 is 100; expected 0 to 99");
}

TEST_F(ConvertersTest, Cifar10WithoutNamesHasNumbers) {
  Files files = Cifar10();
  files.erase("batches.meta.txt");
  const std::string folder = Converted(ConvertCifar10, Folder(files));
  EXPECT_THAT(ReadManifest(folder)->class_name(),
              ElementsAre("0", "1", "2", "3", "4", "5", "6", "7", "8", "9"));
}

TEST_F(ConvertersTest, Cifar100HasTheFineLabels) {
  std::string names;
  for (int i = 0; i < 100; ++i) absl::StrAppend(&names, "fine", i, "\r\n");
  const std::string folder = Converted(
      ConvertCifar100, Folder({{"train.bin", CifarRecord({19, 99}, 0) + CifarRecord({3, 42}, 1)},
                               {"test.bin", CifarRecord({0, 20}, 2)},
                               {"fine_label_names.txt", names}}));
  EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{99, 42}, {CifarImage(0), CifarImage(1)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{20}, {CifarImage(2)}}));
  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_EQ(manifest.class_name_size(), 100);
  EXPECT_EQ(manifest.class_name(42), "fine42");
}

void ExpectMnist(const std::string& folder) {
  Expected train{{7, 0, 9}, {}}, test{{1, 2}, {}};
  train.images.resize(3);
  for (int i = 0; i < 3 * 20; ++i) train.images[i / 20].push_back(static_cast<uint8_t>(i * 4));
  test.images.resize(2);
  for (int i = 0; i < 2 * 20; ++i) {
    test.images[i / 20].push_back(static_cast<uint8_t>(255 - i * 5));
  }
  EXPECT_EQ(*ReadSplit(folder, "train"), train);
  EXPECT_EQ(*ReadSplit(folder, "test"), test);
  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_EQ(manifest.height(), 4);
  EXPECT_EQ(manifest.width(), 5);
  EXPECT_EQ(manifest.channels(), 1);
  EXPECT_THAT(manifest.mean(), ElementsAre(testing::DoubleNear(118, 1e-9)));
}

TEST_F(ConvertersTest, MnistIsTheSamePlainPackedAndInAnArchive) {
  ExpectMnist(Converted(ConvertDigits, Folder(Mnist())));
  Files packed;
  for (const auto& [name, bytes] : Mnist()) packed[name + ".gz"] = Gzip(bytes);
  ExpectMnist(Converted(ConvertDigits, Folder(packed)));
  ExpectMnist(Converted(ConvertDigits, File("mnist.tar.gz", Gzip(Tar(Mnist())))));
  // If both NAME and NAME.gz exist, NAME is read.
  Files both = Mnist();
  both["train-labels-idx1-ubyte.gz"] = "anything";
  ExpectMnist(Converted(ConvertDigits, Folder(both)));
}

TEST_F(ConvertersTest, MnistMayHaveADotInItsNames) {
  Files dotted;
  for (const auto& [name, bytes] : Mnist()) {
    dotted[absl::StrReplaceAll(name, {{"s-idx", "s.idx"}})] = bytes;
  }
  EXPECT_TRUE(dotted.contains("train-images.idx3-ubyte"));
  ExpectMnist(Converted(ConvertDigits, Folder(dotted)));
}

// Returns the files of a small EMNIST. Its labels are `first` to first + classes - 1. The training
// and the test split have one image of 2x3 pixels for each label.
Files Emnist(const std::string& split, int first, int classes, bool mapping) {
  std::string images, labels, lines;
  for (int i = 0; i < classes; ++i) {
    labels.push_back(static_cast<char>(first + i));
    for (int k = 0; k < 6; ++k) images.push_back(static_cast<char>(i * 6 + k));
    absl::StrAppend(&lines, first + i, " ", 65 + i, "\r\n");
  }
  const auto n = static_cast<uint32_t>(classes);
  const std::string start = "emnist-" + split + "-";
  Files files;
  for (const char* part : {"train", "test"}) {
    files[start + part + "-images-idx3-ubyte"] = Idx({n, 2, 3}, images);
    files[start + part + "-labels-idx1-ubyte"] = Idx({n}, labels);
  }
  if (mapping) files[start + "mapping.txt"] = lines;
  return files;
}

TEST_F(ConvertersTest, EmnistCountsItsLettersFromOne) {
  const Files letters = Emnist("letters", 1, 26, /*mapping=*/true);
  const std::string folder = Converted(ConvertDigits, Folder(letters));
  const Expected train = *ReadSplit(folder, "train");
  ASSERT_EQ(train.labels.size(), 26u);
  EXPECT_EQ(train.labels[0], 0);
  EXPECT_EQ(train.labels[25], 25);
  EXPECT_EQ(train.images[1], (std::vector<uint8_t>{6, 7, 8, 9, 10, 11})) << "as it is stored";
  EXPECT_EQ(*ReadSplit(folder, "test"), train);
  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_EQ(manifest.name(), "emnist-letters");
  ASSERT_EQ(manifest.class_name_size(), 26);
  EXPECT_EQ(manifest.class_name(0), "A");
  EXPECT_EQ(manifest.class_name(25), "Z");
  EXPECT_THAT(warnings_, ElementsAre(testing::HasSubstr("--transpose turns them upright")));

  // The official download is a .zip of .gz files. A .tar of .gz files is read in the same way.
  Files packed;
  for (const auto& [name, bytes] : letters) {
    packed[absl::StrContains(name, "ubyte") ? name + ".gz" : name] =
        absl::StrContains(name, "ubyte") ? Gzip(bytes) : bytes;
  }
  EXPECT_EQ(*ReadSplit(Converted(ConvertDigits, File("gzip.tar", Tar(packed))), "train"), train);
}

TEST_F(ConvertersTest, TransposesEmnistOnRequest) {
  const std::string folder = Converted(
      [](const ConvertOptions& options) {
        return ConvertMnist(options, {.emnist = "", .transpose = true});
      },
      Folder(Emnist("balanced", 0, 47, /*mapping=*/false)));
  EXPECT_EQ(ReadSplit(folder, "train")->images[1], (std::vector<uint8_t>{6, 9, 7, 10, 8, 11}));
  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_EQ(manifest.height(), 3);
  EXPECT_EQ(manifest.width(), 2);
  EXPECT_EQ(manifest.class_name_size(), 47);
  EXPECT_EQ(manifest.class_name(46), "46");
  EXPECT_THAT(warnings_, ElementsAre());
}

TEST_F(ConvertersTest, AsksForEmnistsSplitWhereThereAreSeveral) {
  Files files = Emnist("letters", 1, 26, /*mapping=*/true);
  for (const auto& [name, bytes] : Emnist("balanced", 0, 47, /*mapping=*/true)) files[name] = bytes;
  EXPECT_EQ(Refusal(ConvertDigits, Folder(files)),
            "DIR/in: has EMNIST's splits balanced, letters; choose one with --emnist=balanced");
  const std::string folder = Converted(
      [](const ConvertOptions& options) { return ConvertMnist(options, {.emnist = "letters"}); },
      Folder(files));
  EXPECT_EQ(ReadManifest(folder)->class_name_size(), 26);
  EXPECT_EQ(
      Refusal(
          [](const ConvertOptions& options) { return ConvertMnist(options, {.emnist = "digits"}); },
          Folder(files)),
      "no emnist-digits-train-images-idx3-ubyte or "
      "emnist-digits-train-images-idx3-ubyte.gz in DIR/in");
}

TEST_F(ConvertersTest, RefusesAnEmnistMappingWithGaps) {
  Files files = Emnist("letters", 1, 26, /*mapping=*/true);
  files["emnist-letters-mapping.txt"] = "1 65 97\n3 67 99\n";
  EXPECT_EQ(Refusal(ConvertDigits, Folder(files)),
            "DIR/in/emnist-letters-mapping.txt: found \"3 67 99\"; expected a label and a "
            "character's code, label 2 next");
  files["emnist-letters-mapping.txt"] = "1 65 97\n2 66 98\n";
  EXPECT_EQ(Refusal(ConvertDigits, Folder(files)),
            "DIR/in/emnist-letters-train-labels-idx1-ubyte: byte 10: label 3; expected 1 to 2");
}

absl::Status ConvertFolder(const ConvertOptions& options) {
  return ConvertImageFolder(options, {});
}

TEST_F(ConvertersTest, ImageFolderTakesItsSplitsAsTheyAre) {
  const Files train = {{"train/dog/1.png", FlatPng(2, 3, 10, 20, 30)},
                       {"train/cat/2.PNG", FlatPng(2, 3, 40, 50, 60)},
                       {"train/cat/1.jpeg", FlatJpeg(2, 3, 70)},
                       {"train/cat/notes.txt", "no image"},
                       {"train/cat/._1.jpeg", "left by another system"}};
  const std::vector<std::vector<uint8_t>> cats = {
      std::vector<uint8_t>(18, 70),
      {40, 50, 60, 40, 50, 60, 40, 50, 60, 40, 50, 60, 40, 50, 60, 40, 50, 60}};
  const std::vector<uint8_t> dog = {10, 20, 30, 10, 20, 30, 10, 20, 30,
                                    10, 20, 30, 10, 20, 30, 10, 20, 30};
  for (const char* held_out : {"test", "val"}) {
    Files files = train;
    files[absl::StrCat(held_out, "/dog/x.jpg")] = FlatJpeg(2, 3, 200);
    const std::string folder = Converted(ConvertFolder, Folder(files) + "/");
    EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{0, 0, 1}, {cats[0], cats[1], dog}}));
    EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{1}, {std::vector<uint8_t>(18, 200)}}));
    const DatasetManifest manifest = *ReadManifest(folder);
    EXPECT_EQ(manifest.name(), "in");
    EXPECT_THAT(manifest.class_name(), ElementsAre("cat", "dog"));
    EXPECT_EQ(manifest.split_size(), 2);
  }
  Files files = train;
  files["test/dog/x.jpg"] = FlatJpeg(2, 3, 200);
  files["val/cat/x.jpg"] = FlatJpeg(2, 3, 100);
  const std::string folder = Converted(ConvertFolder, Folder(files));
  EXPECT_EQ(ReadSplit(folder, "train")->labels.size(), 3u);
  EXPECT_EQ(*ReadSplit(folder, "val"), (Expected{{0}, {std::vector<uint8_t>(18, 100)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{1}, {std::vector<uint8_t>(18, 200)}}));
}

TEST_F(ConvertersTest, ImageFolderHoldsOutTheSameFractionOfEachClass) {
  Files files;
  for (int i = 0; i < 10; ++i) files[absl::StrCat("a/", i, ".png")] = FlatPng(1, 1, i, 0, 0);
  for (int i = 0; i < 4; ++i) files[absl::StrCat("b/", i, ".png")] = FlatPng(1, 1, i, 1, 0);
  files["c/0.png"] = FlatPng(1, 1, 0, 2, 0);
  const std::string input = Folder(files);
  // Returns the first value of each test image of class `label`.
  const auto held_out = [&](double fraction, int64_t label) {
    const std::string folder = Converted(
        [&](const ConvertOptions& options) {
          return ConvertImageFolder(options, {.val_fraction = fraction});
        },
        input);
    const Expected train = *ReadSplit(folder, "train"), test = *ReadSplit(folder, "test");
    std::vector<int> values;
    std::set<std::pair<int, int>> all;
    for (const auto& image : train.images) all.emplace(image[0], image[1]);
    for (size_t i = 0; i < test.labels.size(); ++i) {
      if (test.labels[i] == label) values.push_back(test.images[i][0]);
      all.emplace(test.images[i][0], test.images[i][1]);
    }
    EXPECT_EQ(all.size(), 15u) << "every image is in one split";
    EXPECT_EQ(train.images.size() + test.images.size(), 15u);
    return values;
  };
  EXPECT_THAT(held_out(0.1, 0), ElementsAre(9));
  EXPECT_THAT(held_out(0.1, 1), ElementsAre(3)) << "at least one";
  EXPECT_THAT(held_out(0.1, 2), ElementsAre()) << "the only one is to be learnt from";
  EXPECT_THAT(held_out(0.4, 0), ElementsAre(2, 4, 7, 9));
  EXPECT_THAT(held_out(0.4, 0), ElementsAre(2, 4, 7, 9)) << "always the same";
  EXPECT_THAT(held_out(0.5, 1), ElementsAre(1, 3));

  const std::string whole = Converted(
      [&](const ConvertOptions& options) {
        return ConvertImageFolder(options, {.val_fraction = 0});
      },
      input);
  EXPECT_EQ(ReadSplit(whole, "train")->labels.size(), 15u);
  EXPECT_EQ(ReadManifest(whole)->split_size(), 1);
}

TEST_F(ConvertersTest, ImageFolderFitsImagesToASquare) {
  // An image whose left half is black and whose right half is white. It must be scaled to 4x8
  // (height x width), and the 4x4 pixels in its centre cut out.
  std::vector<uint8_t> wide(size_t{16} * 32 * 3, 0);
  for (int y = 0; y < 16; ++y) {
    for (int i = 16 * 3; i < 32 * 3; ++i) wide[y * 32 * 3 + i] = 255;
  }
  const std::string folder = Converted(
      [](const ConvertOptions& options) {
        return ConvertImageFolder(options, {.size = 4, .val_fraction = 0});
      },
      Folder({{"a/1.jpg", Jpeg(16, 32, wide)}, {"a/2.png", FlatPng(9, 5, 1, 2, 3)}}));
  const Expected train = *ReadSplit(folder, "train");
  ASSERT_EQ(train.images.size(), 2u);
  ASSERT_EQ(train.images[0].size(), 48u);
  for (size_t y = 0; y < 4; ++y) {
    EXPECT_LT(train.images[0][y * 12], 20);
    EXPECT_GT(train.images[0][y * 12 + 11], 235);
  }
  for (size_t i = 0; i < 48; ++i) EXPECT_EQ(train.images[1][i], i % 3 + 1);
}

// Returns images of several sizes and formats that are too large to be stored as pixels by default.
Files MixedFolder() {
  Files files;
  for (int i = 0; i < 20; ++i) {
    const int height = 70 + i, width = 90 - i;
    const auto grey = static_cast<uint8_t>(10 * i);
    const std::string name = absl::StrCat(i % 2 == 0 ? "a" : "b", "/", 100 + i);
    if (i % 4 < 2) {
      files[name + ".jpg"] = FlatJpeg(height, width, grey);
    } else {
      files[name + ".png"] = FlatPng(height, width, grey, grey, 7);
    }
  }
  return files;
}

// Returns the content of each file of a data set, by file name.
Files Contents(const std::string& folder) {
  Files files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    files[entry.path().filename().string()] = *ReadFile(entry.path().string());
  }
  return files;
}

TEST_F(ConvertersTest, ImageFolderKeepsLargeImagesEncodedAsTheirFilesAre) {
  const Files files = MixedFolder();
  const std::string folder = Converted(ConvertFolder, Folder(files));
  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_TRUE(manifest.encoded());
  EXPECT_EQ(manifest.height(), 0);
  std::set<std::string> stored;
  for (const char* split : {"train", "test"}) {
    const auto dataset = Dataset::Open(folder, split);
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    for (int64_t i = 0; i < (*dataset)->size(); ++i) {
      std::string bytes;
      int64_t label = -1;
      ASSERT_TRUE((*dataset)->ReadEncoded(i, &bytes, &label).ok());
      stored.insert(bytes);
      const auto image = DecodeImage("x", bytes);
      ASSERT_TRUE(image.ok()) << image.status();
      EXPECT_EQ((*dataset)->SizeOf(i), (ImageSize{image->height, image->width}));
    }
  }
  std::set<std::string> expected;
  for (const auto& [name, bytes] : files) expected.insert(bytes);
  EXPECT_EQ(stored, expected);
}

TEST_F(ConvertersTest, ImageFolderMakesTheSameBytesOnAnyNumberOfThreads) {
  const std::string input = Folder(MixedFolder());
  for (const FolderOptions& options :
       {FolderOptions{}, FolderOptions{.max_side = 80}, FolderOptions{.size = 32},
        FolderOptions{.store = Store::kEncoded, .size = 40}, FolderOptions{.decode_all = false}}) {
    Files first;
    for (const int threads : {1, 2, 5}) {
      FolderOptions with = options;
      with.threads = threads;
      const Files contents = Contents(Converted(
          [&](const ConvertOptions& convert) { return ConvertImageFolder(convert, with); }, input));
      if (threads == 1) first = contents;
      EXPECT_TRUE(contents == first) << threads;
    }
  }
}

TEST_F(ConvertersTest, ImageFolderStoresSmallImagesOfOneSizeAsPixels) {
  const auto encoded = [&](const Files& files, Store store) {
    return ReadManifest(Converted(
                            [&](const ConvertOptions& options) {
                              return ConvertImageFolder(options, {.store = store});
                            },
                            Folder(files)))
        ->encoded();
  };
  Files files = {{"a/1.png", FlatPng(64, 64, 1, 2, 3)}, {"a/2.png", FlatPng(64, 64, 2, 2, 3)}};
  EXPECT_FALSE(encoded(files, Store::kAuto));
  EXPECT_TRUE(encoded(files, Store::kEncoded));
  files["b/3.png"] = FlatPng(64, 63, 1, 2, 3);
  EXPECT_TRUE(encoded(files, Store::kAuto)) << "of two sizes";
  files = {{"a/1.png", FlatPng(64, 65, 1, 2, 3)}, {"a/2.png", FlatPng(64, 65, 2, 2, 3)}};
  EXPECT_TRUE(encoded(files, Store::kAuto)) << "a side of 65";
  EXPECT_FALSE(encoded(files, Store::kRaw));
}

TEST_F(ConvertersTest, ImageFolderScalesDownOnlyImagesThatAreLarger) {
  const std::string small = FlatPng(80, 66, 1, 2, 3);
  const std::string folder = Converted(
      [](const ConvertOptions& options) {
        return ConvertImageFolder(options, {.max_side = 80, .quality = 100, .val_fraction = 0});
      },
      Folder({{"a/1.png", small}, {"a/2.png", FlatPng(100, 160, 200, 100, 50)}}));
  const auto dataset = Dataset::Open(folder, "train");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  std::string bytes;
  int64_t label = 0;
  ASSERT_TRUE((*dataset)->ReadEncoded(0, &bytes, &label).ok());
  EXPECT_EQ(bytes, small);
  ASSERT_TRUE((*dataset)->ReadEncoded(1, &bytes, &label).ok());
  EXPECT_EQ(KindOf(bytes), ImageKind::kJpeg);
  EXPECT_EQ((*dataset)->SizeOf(1), (ImageSize{50, 80}));
  const auto image = DecodeImage("x", bytes);
  ASSERT_TRUE(image.ok()) << image.status();
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(image->pixels[c], 200 >> c, 3);
}

TEST_F(ConvertersTest, ImageFolderNamesImagesThatAreInTwoSplits) {
  const std::string twin = FlatPng(2, 2, 1, 2, 3);
  Converted(ConvertFolder, Folder({{"train/a/1.png", twin},
                                   {"train/a/2.png", twin},
                                   {"train/a/3.png", FlatPng(2, 2, 3, 4, 5)},
                                   {"test/a/4.png", FlatPng(2, 2, 5, 6, 7)},
                                   {"test/a/5.png", twin}}));
  EXPECT_THAT(warnings_, ElementsAre("1 image is in two splits, byte for byte, so the held-out "
                                     "accuracy will be too high; the first: DIR/in/test/a/5.png is "
                                     "DIR/in/train/a/1.png"));
}

// The data set made from an archive must have the same shards as the one made from the folder. Only
// source and name in the manifest may differ.
TEST_F(ConvertersTest, ImageFolderIsTheSameFromAnArchive) {
  Files files = MixedFolder();
  files["a/notes.txt"] = "x";
  const std::string folder = Converted(ConvertFolder, Folder(files));
  Files expected = Contents(folder);
  expected.erase("manifest.pbtxt");
  for (const std::string& archive : {Tar(files), Gzip(Tar(files))}) {
    const std::string unpacked = Converted(ConvertFolder, File("photos.tar.gz", archive));
    Files contents = Contents(unpacked);
    EXPECT_THAT(contents["manifest.pbtxt"], testing::HasSubstr("name: \"photos\""));
    contents.erase("manifest.pbtxt");
    EXPECT_TRUE(contents == expected);
    EXPECT_THAT(warnings_, testing::Contains(StartsWith("left out 1 file of DIR/photos.tar.gz: ")));
  }
}

TEST_F(ConvertersTest, ImageFolderReadsWebDatasetsArchives) {
  const auto flat = [](uint8_t grey) { return std::vector<uint8_t>(12, grey); };
  const auto png = [](uint8_t grey) { return FlatPng(2, 2, grey, grey, grey); };
  const std::string input = Folder(
      {{"train-000.tar",
        Tar(Files{{"000.png", png(1)}, {"000.cls", "1\n"}, {"001.png", png(2)}, {"001.cls", "0"}})},
       {"train-001.tar", Tar(Files{{"000.png", png(3)}, {"000.cls", "1"}})},
       {"val-000.tar", Tar(Files{{"a.b.png", png(4)}, {"a.cls", "0"}, {"a.json", "{}"}})}});
  const std::string folder = Converted(ConvertFolder, input);
  EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{0, 1, 1}, {flat(2), flat(1), flat(3)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{0}, {flat(4)}}));
  EXPECT_EQ(
      Refusal(ConvertFolder,
              File("x.tar", Tar(Files{{"0.png", png(1)}, {"1.png", png(1)}, {"1.cls", "0"}}))),
      "DIR/x.tar: official/0.png: expected a file 0.cls with its class beside it, as others "
      "have");
}

// Returns an archive with a single hostile entry of this name and type.
std::string TrickArchive(const std::string& name, unsigned type, bool zip) {
  std::string bytes(1 << 20, '\0');
  size_t used = 0;
  archive* a = archive_write_new();
  zip ? archive_write_set_format_zip(a) : archive_write_set_format_ustar(a);
  EXPECT_EQ(archive_write_open_memory(a, bytes.data(), bytes.size(), &used), ARCHIVE_OK);
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_filetype(entry, type);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_size(entry, 0);
  if (type == AE_IFCHR) archive_entry_set_rdev(entry, 0x103);
  EXPECT_EQ(archive_write_header(a, entry), ARCHIVE_OK);
  archive_entry_free(entry);
  EXPECT_EQ(archive_write_free(a), ARCHIVE_OK);
  bytes.resize(used);
  return bytes;
}

TEST_F(ConvertersTest, RefusesArchiveEntriesThatLeadOutOrAreDevicesByName) {
  const std::string out =
      "this name leads out of the archive's folder; expected names within it. The archive may be "
      "meant to do harm";
  for (const bool zip : {false, true}) {
    EXPECT_EQ(Refusal(ConvertFolder, File("x.tar", TrickArchive("../evil.png", AE_IFREG, zip))),
              "DIR/x.tar: ../evil.png: " + out);
    EXPECT_EQ(Refusal(ConvertFolder, File("x.tar", TrickArchive("a/../../e.png", AE_IFREG, zip))),
              "DIR/x.tar: a/../../e.png: " + out);
    EXPECT_EQ(Refusal(ConvertFolder, File("x.tar", TrickArchive("/tmp/e.png", AE_IFREG, zip))),
              "DIR/x.tar: /tmp/e.png: " + out);
    EXPECT_FALSE(fs::exists(folder_ + "/evil.png"));
  }
  EXPECT_EQ(Refusal(ConvertFolder, File("x.tar", TrickArchive("a/null.png", AE_IFCHR, false))),
            "DIR/x.tar: a/null.png: found a device, pipe or socket; expected files and folders");
  EXPECT_EQ(Refusal(ConvertFolder, File("x.tar", TrickArchive("a/pipe.png", AE_IFIFO, false))),
            "DIR/x.tar: a/pipe.png: found a device, pipe or socket; expected files and folders");
}

TEST_F(ConvertersTest, ImageFolderReadsTinyImageNet) {
  const std::string folder = Converted(
      ConvertFolder,
      Folder({{"train/n01/images/n01_0.JPEG", FlatJpeg(8, 8, 10)},
              {"train/n01/n01_boxes.txt", "n01_0.JPEG\t0\t0\t1\t1\n"},
              {"train/n02/images/n02_0.JPEG", FlatJpeg(8, 8, 20)},
              {"val/images/val_1.JPEG", FlatJpeg(8, 8, 30)},
              {"val/images/val_0.JPEG", FlatJpeg(8, 8, 40)},
              {"val/val_annotations.txt", "val_0.JPEG\tn02\t0\t0\t1\t1\nval_1.JPEG\tn01\t0\n"},
              {"test/images/test_0.JPEG", FlatJpeg(8, 8, 50)}}));
  const auto flat = [](uint8_t grey) { return std::vector<uint8_t>(192, grey); };
  EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{0, 1}, {flat(10), flat(20)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{0, 1}, {flat(30), flat(40)}}));
  EXPECT_EQ(ReadManifest(folder)->split_size(), 2);
}

// val_annotations.txt may come from an archive of a stranger.
TEST_F(ConvertersTest, TinyImageNetsListNamesFilesOfItsOwnFolderAlone) {
  const auto refusal = [&](const std::string& list) {
    return Refusal(ConvertFolder, Folder({{"secret.JPEG", FlatJpeg(8, 8, 1)},
                                          {"train/n01/images/0.JPEG", FlatJpeg(8, 8, 10)},
                                          {"val/images/1.JPEG", FlatJpeg(8, 8, 30)},
                                          {"val/val_annotations.txt", list}}));
  };
  EXPECT_EQ(
      refusal("1.JPEG\tn01\n../../secret.JPEG\tn01\n"),
      "DIR/in/val/val_annotations.txt:2: found ../../secret.JPEG; expected the name of a file "
      "in DIR/in/val/images");
  EXPECT_EQ(refusal("/etc/secret.JPEG\tn01\n"),
            "DIR/in/val/val_annotations.txt:1: found /etc/secret.JPEG; expected the name of a file "
            "in DIR/in/val/images");
  EXPECT_EQ(refusal("1.JPEG\tn02\r\n"),
            "DIR/in/val/images: class n02 is held out but has no training images");
}

// As in mmpretrain's ann_file, each line of the list has a path, which may contain spaces, and a
// class number.
TEST_F(ConvertersTest, ImageListReadsPathsAndLabels) {
  const Files files = {{"photos/a b.png", FlatPng(2, 2, 1, 1, 1)},
                       {"photos/c.png", FlatPng(2, 2, 2, 2, 2)},
                       {"photos/d.png", FlatPng(2, 2, 3, 3, 3)},
                       {"photos/e.png", FlatPng(2, 2, 4, 4, 4)},
                       {"train.txt", "c.png 2\na b.png 0\ne.png 1\n\n"},
                       {"val.txt", "d.png\t1\r\n"},
                       {"names.txt", "cat\ndog\nowl\n"}};
  const std::string input = Folder(files);
  ListOptions list;
  list.val = input + "/val.txt";
  list.root = input + "/photos";
  const auto convert = [&](const ConvertOptions& options) {
    ConvertOptions of_list = options;
    of_list.input += "/train.txt";
    return ConvertImageList(of_list, list, {});
  };
  const auto flat = [](uint8_t grey) { return std::vector<uint8_t>(12, grey); };
  std::string folder = Converted(convert, input);
  EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{0, 1, 2}, {flat(1), flat(4), flat(2)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{1}, {flat(3)}}));
  EXPECT_THAT(ReadManifest(folder)->class_name(), ElementsAre("0", "1", "2"));
  list.classes = input + "/names.txt";
  folder = Converted(convert, input);
  EXPECT_THAT(ReadManifest(folder)->class_name(), ElementsAre("cat", "dog", "owl"));
  EXPECT_EQ(ReadSplit(folder, "train")->labels, (std::vector<int64_t>{0, 1, 2}));
}

TEST_F(ConvertersTest, ImageListReadsATableWithSplits) {
  const std::string input =
      Folder({{"x.png", FlatPng(2, 2, 1, 1, 1)},
              {"y, z.png", FlatPng(2, 2, 2, 2, 2)},
              {"w.png", FlatPng(2, 2, 3, 3, 3)},
              {"all.csv",
               "Split,width,file,Class\ntrain,2,x.png,dog\nvalidation,2,\"y, z.png\","
               "\"a \"\"cat\"\"\"\ntrain,2,w.png,\"a \"\"cat\"\"\"\n"}});
  const std::string folder = Converted(
      [](const ConvertOptions& options) {
        ConvertOptions table = options;
        table.input += "/all.csv";
        return ConvertImageList(table, {}, {});
      },
      input);
  const auto flat = [](uint8_t grey) { return std::vector<uint8_t>(12, grey); };
  EXPECT_THAT(ReadManifest(folder)->class_name(), ElementsAre("a \"cat\"", "dog"));
  EXPECT_EQ(*ReadSplit(folder, "train"), (Expected{{0, 1}, {flat(3), flat(1)}}));
  EXPECT_EQ(*ReadSplit(folder, "test"), (Expected{{0}, {flat(2)}}));
}

TEST_F(ConvertersTest, NamesTheLineOfAListThatIsWrong) {
  const auto refusal = [&](const std::string& name, const std::string& text) {
    return Refusal(
        [&](const ConvertOptions& options) {
          ConvertOptions of_list = options;
          of_list.input += "/" + name;
          ListOptions list;
          list.classes = options.input + "/names";
          return ConvertImageList(of_list, list, {});
        },
        Folder({{name, text}, {"names", "cat\ndog\n"}, {"x.png", FlatPng(2, 2, 1, 1, 1)}}));
  };
  EXPECT_EQ(refusal("a.txt", "x.png 0\nx.png\n"),
            "DIR/in/a.txt:2: found \"x.png\"; expected a path and a label");
  EXPECT_EQ(
      refusal("a.txt", "x.png 0\nx.png 2\n"),
      "DIR/in/a.txt:2: label is \"2\"; expected one of the 2 classes of DIR/in/names, counted "
      "from 0");
  EXPECT_EQ(refusal("a.txt", "x.png bird\n"),
            "DIR/in/a.txt:1: label is \"bird\"; expected one of the 2 classes of DIR/in/names");
  EXPECT_EQ(refusal("a.txt", "\n"), "DIR/in/a.txt: lists no images");
  EXPECT_THAT(refusal("a.csv", "name,label\n"), StartsWith("DIR/in/a.csv:1: the first line names"));
  EXPECT_EQ(refusal("a.csv", "path,label\n\"x.png,0\n"),
            "DIR/in/a.csv:2: a double quote does not end on its line");
  EXPECT_EQ(refusal("a.csv", "path,label,split\nx.png,0,dev\n"),
            "DIR/in/a.csv:2: split is \"dev\"; expected train, val or test");
  EXPECT_THAT(refusal("a.txt", "x.png 0\ny.png 1\n"),
              StartsWith("DIR/in/a.txt:2: cannot open DIR/in/y.png: No such"));
  EXPECT_EQ(refusal("a.txt", "x.png 0\nx.png 1\n"),
            "DIR/in/a.txt:2: DIR/in/x.png has the label dog; DIR/in/a.txt:1 gives it cat; expected "
            "one class");
  EXPECT_EQ(refusal("a.csv", "path,label\nx.png,0,1\n"),
            "DIR/in/a.csv:2: has 3 cells; expected at most 2, as the first line has columns (a "
            "comma within a cell needs double quotes around the cell)");
  EXPECT_EQ(refusal("a.csv", "path,label\nx.png,\n"), "DIR/in/a.csv:2: the label is empty");
  EXPECT_EQ(refusal("a.csv", "path,label,split\nx.png,0,train\nz.png,1,val\n"),
            "DIR/in/a.csv:3: class dog is held out but has no training images");
  EXPECT_THAT(refusal("a.txt", std::string("x\0 \0"
                                           "0\0",
                                           6)),
              StartsWith("DIR/in/a.txt: found a zero byte; expected text in UTF-8"));
}

TEST_F(ConvertersTest, NamesTheLineOfAClassThatIsNamedTwice) {
  const auto convert = [](const ConvertOptions& options) {
    ConvertOptions of_list = options;
    of_list.input += "/a.txt";
    ListOptions list;
    list.classes = options.input + "/names";
    return ConvertImageList(of_list, list, {});
  };
  EXPECT_EQ(Refusal(convert, Folder({{"a.txt", "x.png 0\n"}, {"names", "cat\n\ncat\n"}})),
            "DIR/in/names:3: names class cat, as line 1 does");
}

// A table with a column "split" has all splits. Beside --val its held-out images would be trained
// on.
TEST_F(ConvertersTest, RefusesATableOfSplitsBesideAnotherList) {
  const auto convert = [](const ConvertOptions& options) {
    ConvertOptions of_list = options;
    of_list.input += "/a.csv";
    ListOptions list;
    list.val = options.input + "/val.txt";
    return ConvertImageList(of_list, list, {});
  };
  EXPECT_EQ(Refusal(convert, Folder({{"a.csv", "path,label,split\nx.png,0,val\n"},
                                     {"val.txt", "x.png 0\n"}})),
            "DIR/in/a.csv:2: has a column split, and --val names another list; expected one or the "
            "other");
}

// Programs on Windows write a byte order mark and CR LF.
TEST_F(ConvertersTest, ImageListReadsTablesAndListsOfWindows) {
  for (const auto& [name, text] :
       Files{{"a.csv", "\xEF\xBB\xBFpath,label\r\nx.png,0\r\ny.png,1\r\n"},
             {"a.txt", "\xEF\xBB\xBFx.png 0\r\ny.png 1\r\n"}}) {
    const std::string list = "/" + name;
    const std::string folder = Converted(
        [&](const ConvertOptions& options) {
          ConvertOptions of_list = options;
          of_list.input += list;
          return ConvertImageList(of_list, {}, {.val_fraction = 0});
        },
        Folder(
            {{name, text}, {"x.png", FlatPng(2, 2, 1, 1, 1)}, {"y.png", FlatPng(2, 2, 2, 2, 2)}}));
    EXPECT_EQ(ReadSplit(folder, "train")->labels, (std::vector<int64_t>{0, 1})) << name;
  }
}

// A list that can be converted, but is likely wrong, gets a warning.
TEST_F(ConvertersTest, WarnsOfLabelsAndLinesThatAreLikelyMistakes) {
  const auto warnings = [&](const std::string& list) {
    const std::string input = Folder(
        {{"a.txt", list}, {"x.png", FlatPng(2, 2, 1, 1, 1)}, {"y.png", FlatPng(2, 2, 2, 2, 2)}});
    Converted(
        [](const ConvertOptions& options) {
          ConvertOptions of_list = options;
          of_list.input += "/a.txt";
          return ConvertImageList(of_list, {}, {.val_fraction = 0});
        },
        input);
    return warnings_;
  };
  EXPECT_THAT(warnings("x.png 0\ny.png 1\n"), ElementsAre());
  EXPECT_THAT(warnings("x.png 1\ny.png 3\n"),
              ElementsAre("2 of 4 classes have no training images, the first 0; labels count from "
                          "0"));
  EXPECT_THAT(warnings("x.png 0\ny.png dog\n"),
              ElementsAre("DIR/in/a.txt:2: label is \"dog\", which is not a number from 0; 1 of 2 "
                          "labels are. So all labels are taken for names of classes"));
  EXPECT_THAT(warnings("x.png 0\ny.png 1\nx.png 0\n"),
              ElementsAre("1 line names an image that an earlier line names too, the first "
                          "DIR/in/a.txt:3; such an image is stored once for each line"));
}

TEST_F(ConvertersTest, WarnsOfClassesOfWhichNoImageIsHeldOut) {
  Converted(ConvertFolder,
            Folder({{"cat/0.png", FlatPng(2, 2, 1, 1, 1)}, {"dog/0.png", FlatPng(2, 2, 2, 2, 2)}}));
  EXPECT_THAT(warnings_, ElementsAre("2 classes have one image, of which none is held out, the "
                                     "first cat: there is no split test"));
}

TEST_F(ConvertersTest, SyntheticImagesDependOnTheSeedAlone) {
  const auto make = [](uint64_t seed, int classes) {
    return [=](const ConvertOptions& options) {
      return MakeSynthetic(
          options, {.classes = classes, .train = classes, .test = 3, .size = 8, .seed = seed});
    };
  };
  const std::string first = PrintManifest(*ReadManifest(Converted(make(1, 4), "")));
  EXPECT_EQ(PrintManifest(*ReadManifest(Converted(make(1, 4), ""))), first);
  EXPECT_NE(PrintManifest(*ReadManifest(Converted(make(2, 4), ""))), first);
  EXPECT_THAT(ReadManifest(Converted(make(1, 4), ""))->class_name(),
              ElementsAre("angle_0", "angle_45", "angle_90", "angle_135"));
  // With more than 180 classes the angles in the class names are not whole degrees.
  const DatasetManifest many = *ReadManifest(Converted(make(1, 1000), ""));
  EXPECT_EQ(many.class_name(999), "angle_179.82");
}

TEST_F(ConvertersTest, NamesTheDamageInACifar) {
  const auto with = [&](const std::string& name, const std::string& bytes) {
    Files files = Cifar10();
    files[name] = bytes;
    return Refusal(ConvertCifar10, Folder(files));
  };
  const std::string record = CifarRecord({1}, 0);
  EXPECT_EQ(with("data_batch_3.bin", record + record.substr(0, 100)),
            "DIR/in/data_batch_3.bin: record 1 at byte 3073 is cut short: 100 of 3073 bytes");
  EXPECT_EQ(with("test_batch.bin", ""), "DIR/in/test_batch.bin: is empty");
  EXPECT_EQ(with("data_batch_2.bin", record + CifarRecord({10}, 0)),
            "DIR/in/data_batch_2.bin: record 1 at byte 3073: label 10; expected 0 to 9");
  EXPECT_EQ(with("batches.meta.txt", "a\nb\n"),
            "DIR/in/batches.meta.txt: has 2 names; expected 10");
  EXPECT_EQ(with("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\na\n"),
            "DIR/in: class_name \"a\" is there twice");
  EXPECT_EQ(
      with("other/data_batch_1.bin", record),
      "DIR/in: has DIR/in/data_batch_1.bin and DIR/in/other/data_batch_1.bin; give the folder "
      "of one");
  Files files = Cifar10();
  files.erase("data_batch_4.bin");
  EXPECT_EQ(
      Refusal(ConvertCifar10, Folder(files)),
      "no data_batch_4.bin in DIR/in; expected cifar10's binary version (data_batch_1.bin and the "
      "others) or its Python version (data_batch_1 and the others): a folder with it, or the "
      ".tar.gz");
  EXPECT_EQ(Refusal(ConvertCifar10, Folder({{"a/1.png", FlatPng(2, 2, 1, 2, 3)}})),
            "no data_batch_1.bin in DIR/in; expected cifar10's binary version (data_batch_1.bin "
            "and the others) or its Python version (data_batch_1 and the others): a folder with "
            "it, or the .tar.gz");
  EXPECT_EQ(Refusal(ConvertCifar10, folder_ + "/nowhere"), "no file or folder DIR/nowhere");
  EXPECT_EQ(Refusal(ConvertCifar10, File("x.tar.gz", "no archive at all, this")),
            "DIR/x.tar.gz: found a file that is not an archive (Unrecognized archive format); "
            "expected a folder, or a .tar, .tar.gz or .zip");
  EXPECT_EQ(Refusal(ConvertCifar10, Folder(Cifar10()) + "/test_batch.bin"),
            "DIR/in/test_batch.bin: found one file of the data set; expected the folder that holds "
            "them all: give DIR/in");
  EXPECT_EQ(Refusal(ConvertCifar10,
                    File("twice.tar",
                         Tar(std::vector<std::pair<std::string, std::string>>{
                             {"a/data_batch_1.bin", record}, {"b/data_batch_1.bin", record}}))),
            "DIR/twice.tar: data_batch_1.bin is there twice");
  EXPECT_EQ(Refusal(ConvertCifar100, Folder({{"train.bin", CifarRecord({20, 0}, 0)},
                                             {"test.bin", CifarRecord({0, 0}, 0)}})),
            "DIR/in/train.bin: record 0 at byte 0: label 20; expected 0 to 19");
  EXPECT_EQ(Refusal(ConvertCifar100, Folder({{"train.bin", CifarRecord({19, 99}, 0)},
                                             {"test.bin", CifarRecord({0, 100}, 0)}})),
            "DIR/in/test.bin: record 0 at byte 1: label 100; expected 0 to 99");
}

TEST_F(ConvertersTest, RefusesEveryTruncationOfAnArchive) {
  const std::string whole = Gzip(Tar(Cifar10()));
  ASSERT_GT(whole.size(), 500u);
  std::vector<size_t> sizes;
  for (size_t i = 1; i < 40; ++i) sizes.push_back(whole.size() * i / 40);
  for (size_t i = 1; i <= 20; ++i) sizes.push_back(whole.size() - i);
  for (const size_t size : sizes) {
    const std::string path = File("cifar.tar.gz", whole.substr(0, size));
    EXPECT_EQ(Refusal(ConvertCifar10, path), absl::StrCat("DIR/cifar.tar.gz: broken off at byte ",
                                                          size, ": unexpected end of file"));
  }
  EXPECT_EQ(Refusal(ConvertCifar10, File("cifar.tar.gz", "")),
            "DIR/cifar.tar.gz: found an empty file; expected a folder, or a .tar, .tar.gz or .zip");
}

// libarchive by itself would accept gzip data with a wrong checksum.
TEST_F(ConvertersTest, RefusesAFlippedByteOfAnArchiveOrReadsTheSame) {
  const std::string whole = Gzip(Tar(Cifar10()));
  int refused = 0;
  for (size_t at = 0; at < whole.size(); at += 1 + whole.size() / 150) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 4);
    fs::remove_all(folder_ + "/out");
    const ConvertOptions options = Options(File("cifar.tar.gz", damaged));
    const absl::Status status = ConvertCifar10(options);
    if (status.ok()) {
      ExpectCifar10(options.output);
    } else {
      ++refused;
      EXPECT_THAT(std::string(status.message()), StartsWith(options.input));
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_F(ConvertersTest, BoundsTheFilesOfAnArchiveTogether) {
  const Files files = {{"a", std::string(600, 'a')}, {"b", std::string(600, 'b')}};
  const std::string path = File("bomb.tar.gz", Gzip(Tar(files)));
  EXPECT_TRUE(ReadNamedFiles(path, {"a", "b"}, 1200).ok());
  EXPECT_EQ(ReadNamedFiles(path, {"a", "b"}, 1199).status().message(),
            path + ": b: has more than the 599 bytes that are left for it");
  const std::string folder = Folder({{"a.gz", Gzip(std::string(600, 'a'))}});
  EXPECT_TRUE(ReadNamedFiles(folder, {"a"}, 600).ok());
  EXPECT_EQ(ReadNamedFiles(folder, {"a"}, 599).status().message(),
            folder + "/a.gz: has more than the 599 bytes that are left for it");
}

TEST_F(ConvertersTest, NamesTheDamageInAnMnist) {
  const std::string images = "train-images-idx3-ubyte", labels = "train-labels-idx1-ubyte";
  const auto with = [&](const std::string& name, const std::string& bytes) {
    Files files = Mnist();
    files[name] = bytes;
    return Refusal(ConvertDigits, Folder(files));
  };
  const std::string sixty(60, '\1');
  EXPECT_EQ(
      with(images, "\1\2\3\4abcdefghijkl"),
      "DIR/in/train-images-idx3-ubyte: byte 0: starts 01020304; expected an idx file of bytes "
      "with 3 dimensions (00000803)");
  EXPECT_EQ(with(images, Mnist()[labels]),
            "DIR/in/train-images-idx3-ubyte: broken off at byte 11 of its header's 16");
  EXPECT_EQ(with(images, Idx({3, 4, 5}, sixty.substr(1))),
            "DIR/in/train-images-idx3-ubyte: has 59 bytes after byte 16; its header says 60");
  EXPECT_EQ(with(images, Idx({0xffffffff, 0xffffffff, 0xffffffff}, sixty)),
            "DIR/in/train-images-idx3-ubyte: has 60 bytes after byte 16; its header says "
            "18446744073709551615");
  EXPECT_EQ(with(images, Idx({3, 0xffffffff, 0}, "")),
            "DIR/in/train-images-idx3-ubyte: byte 12: dimension 2 is 0");
  EXPECT_EQ(with(images, Idx({2, 5, 6}, sixty)),
            "DIR/in/train-images-idx3-ubyte has 2 images and DIR/in/train-labels-idx1-ubyte 3 "
            "labels");
  EXPECT_EQ(with(images, Idx({3, 5, 4}, sixty)),
            "DIR/in/t10k-images-idx3-ubyte: its images are 4x5 and those of the split before 5x4 "
            "(height x width)");
  EXPECT_EQ(with(labels, Idx({3}, std::string("\0\1\x0a", 3))),
            "DIR/in/train-labels-idx1-ubyte: byte 10: label 10, and no image has label 2; expected "
            "labels 0 to 9, or every label up to the largest");
  EXPECT_EQ(with("t10k-labels-idx1-ubyte", Idx({2}, std::string("\0\x0a", 2))),
            "DIR/in/t10k-labels-idx1-ubyte: byte 9: label 10; expected 0 to 9");
  Files files = Mnist();
  files.erase(labels);
  EXPECT_EQ(Refusal(ConvertDigits, Folder(files)),
            "no train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz in DIR/in");
  const std::string packed = Gzip(Mnist()[labels]);
  for (size_t size = 2; size < packed.size(); ++size) {
    files[labels + ".gz"] = packed.substr(0, size);
    EXPECT_EQ(Refusal(ConvertDigits, Folder(files)),
              absl::StrCat("DIR/in/train-labels-idx1-ubyte.gz: broken off at byte ", size,
                           ": unexpected end of file"));
  }
  files[labels + ".gz"] = "plain";
  EXPECT_EQ(Refusal(ConvertDigits, Folder(files)),
            "DIR/in/train-labels-idx1-ubyte.gz: byte 0: expected a gzip file");
  // An image with a side of 20000 pixels, which is longer than a manifest allows.
  EXPECT_EQ(
      Refusal(ConvertDigits,
              Folder({{images, Idx({1, 1, 20000}, std::string(20000, '\0'))},
                      {labels, Idx({1}, "\1")},
                      {"t10k-images-idx3-ubyte", Idx({1, 1, 20000}, std::string(20000, '\0'))},
                      {"t10k-labels-idx1-ubyte", Idx({1}, "\1")}})),
      "DIR/in: width is 20000; expected 1 to 16384");
}

TEST_F(ConvertersTest, NamesWhatIsWrongWithAnImageFolder) {
  const std::string image = FlatPng(2, 2, 1, 2, 3);
  const auto refusal = [&](const Files& files) { return Refusal(ConvertFolder, Folder(files)); };
  EXPECT_EQ(Refusal(ConvertFolder, folder_ + "/nowhere"), "no folder DIR/nowhere");
  EXPECT_EQ(refusal({}), "no class folders in DIR/in; expected DIR/in/CLASS/*.jpg (or .png)");
  EXPECT_EQ(refusal({{"1.png", image}}),
            "no class folders in DIR/in; expected DIR/in/CLASS/*.jpg (or .png)");
  EXPECT_EQ(refusal({{"a/1.png", image}, {"b/1.txt", image}}),
            "the class folder DIR/in/b has no images; remove it or fill it");
  EXPECT_THAT(Refusal(ConvertFolder, File("photos.png", image)),
              StartsWith("DIR/photos.png: found a file that is not an archive"));
  EXPECT_EQ(refusal({{"train/a/1.png", image}}), "DIR/in has train but neither test nor val");
  EXPECT_EQ(refusal({{"train/a/1.png", image}, {"test/b/1.png", image}}),
            "DIR/in/test/b: class b is held out but has no training images");
  EXPECT_EQ(
      Refusal(
          [](const ConvertOptions& options) {
            return ConvertImageFolder(options, {.store = Store::kRaw});
          },
          Folder({{"a/1.png", image}, {"a/2.png", image}, {"b/1.png", FlatPng(2, 3, 1, 2, 3)}})),
      "DIR/in/b/1.png: is 2x3 and the first image 2x2 (height x width); give --size=N to fit all "
      "to NxN, or --store=encoded to keep their sizes");
  // The image of 1x16 pixels would be scaled to 8192x131072.
  EXPECT_EQ(
      Refusal(
          [](const ConvertOptions& options) { return ConvertImageFolder(options, {.size = 8192}); },
          Folder({{"a/1.png", FlatPng(1, 16, 1, 2, 3)}})),
      "DIR/in/a/1.png: 1x16 scaled to a shorter side of 8192 would be 8192x131072 (height x "
      "width); at most 67108864 pixels are made\n1 of 1 images cannot be read: repair or remove "
      "them, or leave "
      "them out with --on_bad=skip");
}

constexpr char kExpected[] = "expected a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, PGM or PBM";

// Returns images, four of them damaged in different ways.
Files WithBadImages() {
  Files files;
  for (int i = 0; i < 10; ++i) {
    files[absl::StrCat("a/", i, ".png")] = FlatPng(2, 2, static_cast<uint8_t>(i), 2, 3);
  }
  files["a/0.png"] = "<html>";
  files["a/4.png"] = files["a/4.png"].substr(0, 50);
  const std::string jpeg = FlatJpeg(2, 2, 9);
  files["a/6.jpg"] = jpeg.substr(0, jpeg.size() - 2);
  files["a/9.png"] = "";
  return files;
}

TEST_F(ConvertersTest, ImageFolderListsAllBadImagesAtOnce) {
  EXPECT_EQ(Refusal(ConvertFolder, Folder(WithBadImages())),
            absl::StrCat("DIR/in/a/0.png: is not an image; ", kExpected,
                         "\n"
                         "DIR/in/a/4.png: broken PNG: the chunk at byte 33 goes beyond the file's "
                         "end at 50\n"
                         "DIR/in/a/6.jpg: broken JPEG of ",
                         FlatJpeg(2, 2, 9).size() - 2,
                         " bytes: its end is missing\n"
                         "DIR/in/a/9.png: is empty; ",
                         kExpected,
                         "\n"
                         "4 of 11 images cannot be read: repair or remove them, or leave them out "
                         "with --on_bad=skip"));
}

TEST_F(ConvertersTest, DoesNotWaitForAPipe) {
  const std::string input = Folder({{"a/1.png", FlatPng(1, 1, 1, 2, 3)}});
  ASSERT_EQ(mkfifo((input + "/a/2.png").c_str(), 0600), 0);
  EXPECT_THAT(Refusal(ConvertFolder, input),
              StartsWith("DIR/in/a/2.png: is a pipe or a device; expected a file\n"));
}

TEST_F(ConvertersTest, ImageFolderSkipsBadImagesAndWritesThemDown) {
  const auto skip = [](const ConvertOptions& options) {
    return ConvertImageFolder(options, {.val_fraction = 0.3, .skip_bad = true});
  };
  const Files files = WithBadImages();
  const std::string folder = Converted(skip, Folder(files));
  const Expected train = *ReadSplit(folder, "train"), test = *ReadSplit(folder, "test");
  const DatasetManifest manifest = *ReadManifest(folder);
  EXPECT_EQ(manifest.skipped().count(), 4);
  ASSERT_EQ(manifest.skipped().file_size(), 4);
  EXPECT_THAT(manifest.skipped().file(3),
              testing::EndsWith(absl::StrCat("/in/a/9.png: is empty; ", kExpected)));
  EXPECT_THAT(warnings_, testing::Contains(testing::AllOf(
                             StartsWith("left out 4 of 11 images that cannot be read:\nDIR/in/a/0"),
                             testing::HasSubstr("\nDIR/in/a/9.png: is empty"))));
  // The result must be the same as if the damaged images did not exist.
  Files whole;
  for (const auto& [name, bytes] : files) {
    if (name != "a/0.png" && name != "a/4.png" && name != "a/6.jpg" && name != "a/9.png") {
      whole[name] = bytes;
    }
  }
  const std::string without = Converted(skip, Folder(whole));
  EXPECT_EQ(*ReadSplit(without, "train"), train);
  EXPECT_EQ(*ReadSplit(without, "test"), test);
  EXPECT_FALSE(ReadManifest(without)->has_skipped());

  Files none = whole;
  none["b/1.png"] = "";
  EXPECT_EQ(Refusal(skip, Folder(none)),
            "class b of train has no image that can be read; remove or repair it");
}

TEST_F(ConvertersTest, ImageFolderWalksSubfoldersOfAClass) {
  const Files files = {{"a/2.png", FlatPng(1, 1, 2, 0, 0)},
                       {"a/deep/er/3.png", FlatPng(1, 1, 3, 0, 0)},
                       {"a/deep/1.jfif", FlatJpeg(1, 1, 1)},
                       {"a/.hidden/4.png", FlatPng(1, 1, 4, 0, 0)},
                       {"b/x/y/5.jpe", FlatJpeg(1, 1, 5)}};
  const auto all = [](const ConvertOptions& options) {
    return ConvertImageFolder(options, {.val_fraction = 0});
  };
  const std::string input = Folder(files);
  // Two links to the same folder must add its images only once.
  fs::create_directory_symlink("deep", input + "/a/again");
  fs::create_directory_symlink("deep", input + "/a/more");
  const Expected train = *ReadSplit(Converted(all, input), "train");
  EXPECT_EQ(train.labels, (std::vector<int64_t>{0, 0, 0, 1}));
  std::vector<int> values;
  for (const auto& image : train.images) values.push_back(image[0]);
  EXPECT_THAT(values, ElementsAre(2, 1, 3, 5));
}

// If links that lead back were followed, training images would be read as test images.
TEST_F(ConvertersTest, ImageFolderLeavesOutLinksThatLeadBack) {
  const std::string input = Folder({{"train/a/1.png", FlatPng(1, 1, 1, 5, 8)},
                                    {"train/a/2.png", FlatPng(1, 1, 2, 6, 7)},
                                    {"test/a/3.png", FlatPng(1, 1, 3, 7, 6)},
                                    {"test/a/deep/4.png", FlatPng(1, 1, 4, 8, 5)}});
  fs::create_directory_symlink("..", input + "/test/a/deep/class");
  fs::create_directory_symlink("../../..", input + "/test/a/deep/root");
  fs::create_directory_symlink("..", input + "/test/all");
  // This link leads back through a folder outside the input.
  fs::create_directory(input + "/../aside");
  fs::create_directory_symlink("../in", input + "/../aside/back");
  fs::create_directory_symlink("../../../aside", input + "/test/a/aside");
  const std::string output = Converted(ConvertFolder, input);
  const auto values = [&](const char* split) {
    const Expected images = *ReadSplit(output, split);
    std::vector<int> values;
    for (const auto& image : images.images) values.push_back(image[0]);
    return values;
  };
  EXPECT_THAT(values("train"), ElementsAre(1, 2));
  EXPECT_THAT(values("test"), ElementsAre(3, 4));
  EXPECT_THAT(
      warnings_,
      ElementsAre("left out 4 links, the first DIR/in/test/a/aside/back: it leads back to a "
                  "folder that it is in"));
}

TEST_F(ConvertersTest, ImageFolderRefusesASplitThatLeadsBack) {
  const std::string input = Folder({{"train/a/1.png", FlatPng(1, 1, 1, 0, 0)}});
  fs::create_directory_symlink(".", input + "/test");
  EXPECT_EQ(Refusal(ConvertFolder, input),
            "DIR/in/test: found a link that leads back to a folder that it is in; expected the "
            "folder of a split");
}

TEST_F(ConvertersTest, ImageFolderCountsAndNamesWhatItLeavesOut) {
  const std::string image = FlatPng(1, 1, 1, 2, 3), other = FlatPng(1, 1, 9, 8, 7);
  Converted(ConvertFolder, Folder({{"train/a/1.png", image},
                                   {"train/a/2.png", other},
                                   {"train/a/3.heic", "x"},
                                   {"train/a/4.HEIC", "x"},
                                   {"train/a/5.avif", "x"},
                                   {"train/a/notes.txt", "x"},
                                   {"train/6.png", image},
                                   {"extra/a/7.png", image},
                                   {"test/a/8.png", FlatPng(1, 1, 4, 4, 4)},
                                   {"README", "x"}}));
  EXPECT_THAT(
      warnings_,
      ElementsAre(
          "left out 1 .avif, 2 .heic, the first DIR/in/train/a/5.avif: this kind is not read; "
          "convert them",
          "left out 1 file, the first DIR/in/train/a/notes.txt: the name does not end as an "
          "image's",
          "left out 2 files beside the class folders, the first DIR/in/README: an image's class "
          "is the folder that it is in",
          "left out 1 folder, the first DIR/in/extra: beside train only val and test are read"));
}

TEST_F(ConvertersTest, ImageFolderKeepsImagesOfTheRightSizeAsTheyAre) {
  std::string rows;
  for (int y = 0; y < 32; ++y) {
    rows.push_back('\0');
    for (int x = 0; x < 32; ++x) rows += std::string(3, x % 2 == 0 ? '\0' : '\xff');
  }
  const auto fit = [](const ConvertOptions& options) {
    return ConvertImageFolder(options, {.size = 32, .val_fraction = 0});
  };
  const std::string folder = Converted(fit, Folder({{"a/1.png", Png(32, 32, 8, 2, rows)}}));
  const std::vector<uint8_t> stripes = ReadSplit(folder, "train")->images[0];
  for (size_t i = 0; i < stripes.size(); ++i) ASSERT_EQ(stripes[i], i / 3 % 2 == 0 ? 0 : 255) << i;
}

TEST_F(ConvertersTest, ImageFolderAppliesOrientationUnlessToldToIgnoreIt) {
  const std::string jpeg = *ReadFile("tests/fixtures/pictures/orientation_6.jpg");
  const std::string input = Folder({{"a/1.jpg", jpeg}});
  for (const Orientation orientation : {Orientation::kApply, Orientation::kIgnore}) {
    const std::string folder = Converted(
        [&](const ConvertOptions& options) {
          return ConvertImageFolder(options, {.val_fraction = 0, .orientation = orientation});
        },
        input);
    EXPECT_EQ(ReadManifest(folder)->height(), orientation == Orientation::kApply ? 16 : 8);
  }
}

// The image is a black drawing on a transparent background. Its content is only in the alpha
// channel, which is dropped.
TEST_F(ConvertersTest, WarnsOfAChannelWithoutVariance) {
  const std::string png = *ReadFile("tests/fixtures/pictures/black_on_transparent.png");
  Converted(ConvertFolder, Folder({{"a/1.png", png}, {"a/2.png", png}}));
  ASSERT_EQ(warnings_.size(), 4u) << "the first is of images that are in both splits";
  EXPECT_EQ(warnings_[2],
            "channel 1 of 3 is 0 in every pixel of split train, so it tells no image from "
            "another. Look at the images (the alpha of transparent ones is dropped, which leaves "
            "a drawing whose colours are all the same)");
}

TEST_F(ConvertersTest, RefusesAnExistingOutputBeforeAnyWork) {
  const ConvertOptions options = Options(folder_ + "/nowhere");
  fs::create_directories(options.output);
  const std::string message = options.output + " exists; --force replaces it";
  EXPECT_EQ(ConvertCifar10(options).message(), message);
  EXPECT_EQ(ConvertCifar100(options).message(), message);
  EXPECT_EQ(ConvertDigits(options).message(), message);
  EXPECT_EQ(ConvertFolder(options).message(), message);
  EXPECT_EQ(MakeSynthetic(options, {}).message(), message);
}

}  // namespace
}  // namespace finetune
