#include "src/data/manifest.h"

#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr char kSum[] = "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef";

std::string Whole() {
  return absl::StrReplaceAll(R"(format_version: 1
name: "x"
class_name: "a"
class_name: "b"
channels: 3
height: 6
width: 7
mean: 1
mean: 2
mean: 3
std: 4
std: 5
std: 6
split {
  name: "train"
  shard { file: "0.h5" count: 20 sha256: "SUM" }
  shard { file: "1.h5" count: 5 sha256: "SUM" }
}
split {
  name: "test"
  shard { file: "2.h5" count: 7 sha256: "SUM" }
}
)",
                             {{"SUM", kSum}});
}

class ManifestTest : public testing::Test {
 protected:
  void SetUp() override { folder_ = EmptyTestFolder(); }

  absl::StatusOr<DatasetManifest> Read(const std::string& text) const {
    std::ofstream(folder_ + "/manifest.pbtxt", std::ios::binary) << text;
    return ReadManifest(folder_);
  }

  // Returns the error with which the manifest is refused after the first `from` in it was replaced
  // by `to`. The folder's path is removed from the error.
  std::string Refusal(const std::string& from, const std::string& to) const {
    std::string text = Whole();
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    const auto manifest = Read(text);
    EXPECT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument) << manifest.status();
    return absl::StrReplaceAll(std::string(manifest.status().message()),
                               {{folder_ + "/manifest.pbtxt:", ""}});
  }

  std::string folder_;
};

// For each bit of the file: if it is flipped, reading must fail with an error that names the file,
// or give the same manifest.
TEST_F(ManifestTest, AFlippedBitOfASealedOneIsRefusedOrChangesNothing) {
  const DatasetManifest manifest = *Read(Whole());
  const std::string whole = SealManifest(manifest);
  ASSERT_EQ(PrintManifest(*Read(whole)), PrintManifest(manifest));
  size_t refused = 0;
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    const auto read = Read(damaged);
    if (read.ok()) {
      ASSERT_EQ(PrintManifest(*read), PrintManifest(manifest)) << "bit " << bit;
      continue;
    }
    ++refused;
    ASSERT_THAT(std::string(read.status().message()), HasSubstr("/manifest.pbtxt")) << bit;
  }
  // Only bits in the fixed words of the checksum's comment line may be flipped without an error.
  EXPECT_GT(refused, 8 * (PrintManifest(manifest).size() + 64));
}

TEST_F(ManifestTest, AnEditedOneIsReadWithoutItsSeal) {
  std::string text = SealManifest(*Read(Whole()));
  const std::string name = Read(text)->name();
  text = absl::StrReplaceAll(text, {{"\"" + name + "\"", "\"other\""}});
  EXPECT_THAT(std::string(Read(text).status().message()), HasSubstr("delete the last line"));
  text.erase(text.rfind('#'));
  const auto read = Read(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name(), "other");
}

TEST_F(ManifestTest, AWholeOneIsReadAndPrintedBackTheSame) {
  const auto manifest = Read(Whole());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  EXPECT_EQ(ImageBytes(*manifest), 3 * 6 * 7);
  EXPECT_EQ(ImageCount(*FindSplit(*manifest, "train")), 25);
  const auto again = Read(PrintManifest(*manifest));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ManifestDigest(*again), ManifestDigest(*manifest));
}

TEST_F(ManifestTest, ADigestCoversEveryShardsSum) {
  const auto manifest = Read(Whole());
  ASSERT_TRUE(manifest.ok()) << manifest.status();
  DatasetManifest other = *manifest;
  other.mutable_split(1)->mutable_shard(0)->mutable_sha256()->back() = '0';
  EXPECT_NE(ManifestDigest(other), ManifestDigest(*manifest));
}

TEST_F(ManifestTest, WhatIsWrongIsNamedWithItsLineAndColumn) {
  EXPECT_EQ(Refusal("format_version: 1", "format_version: 3"),
            "1:1: format_version is 3; this program reads 1 and 2: prepare the data again");
  EXPECT_EQ(Refusal("format_version: 1", "format_version: 2"),
            "1:1: format_version is 2 and encoded false; expected 2 for encoded images, else 1");
  EXPECT_EQ(Refusal("width: 7", "wdth: 7"),
            "7:5: Message type \"finetune.DatasetManifest\" has no field named \"wdth\".");
  EXPECT_EQ(Refusal("width: 7", "width: seven"), "7:8: Expected integer, got: seven");
  EXPECT_EQ(Refusal("class_name: \"b\"", "class_name: \"a\""),
            "4:1: class_name \"a\" is there twice");
  EXPECT_EQ(Refusal("class_name: \"b\"", "class_name: \"\""), "4:1: class_name is empty");
  EXPECT_EQ(Refusal("channels: 3", "channels: 4"), "5:1: channels is 4; expected 1 or 3");
  EXPECT_EQ(Refusal("height: 6", "height: 0"), "6:1: height is 0; expected 1 to 16384");
  EXPECT_EQ(Refusal("width: 7", "width: 16385"), "7:1: width is 16385; expected 1 to 16384");
  EXPECT_EQ(Refusal("mean: 3\n", ""), "8:1: mean has 2 values; expected one a channel: 3");
  EXPECT_EQ(Refusal("mean: 3", "mean: 256"), "10:1: mean is 256; expected 0 to 255");
  EXPECT_EQ(Refusal("mean: 3", "mean: nan"), "10:1: mean is nan; expected 0 to 255");
  EXPECT_EQ(Refusal("std: 5", "std: 0"), "12:1: std is 0; expected more than 0 to 255");
  EXPECT_EQ(Refusal("std: 5", "std: inf"), "12:1: std is inf; expected more than 0 to 255");
  EXPECT_EQ(Refusal("  name: \"train\"\n", ""), "14:1: split has no name");
  EXPECT_EQ(Refusal("name: \"test\"", "name: \"train\""), "20:3: name \"train\" is there twice");
  EXPECT_EQ(
      Refusal(absl::StrCat("  shard { file: \"2.h5\" count: 7 sha256: \"", kSum, "\" }\n"), ""),
      "19:1: split \"test\" has no shards");
  for (const char* name : {"../2.h5", "/etc/passwd", "..", ".", "", "a/b", "\\000"}) {
    EXPECT_THAT(Refusal("2.h5", name), testing::EndsWith("\" is not a plain file name")) << name;
  }
  EXPECT_EQ(Refusal("2.h5", "a/b"), "21:11: file \"a/b\" is not a plain file name");
  EXPECT_EQ(Refusal("1.h5", "0.h5"), "17:11: file \"0.h5\" is there twice");
  EXPECT_EQ(Refusal("count: 5", "count: 0"), "17:24: count of 1.h5 is 0; expected 1 or more");
  EXPECT_EQ(Refusal("count: 5", "count: -5"), "17:24: count of 1.h5 is -5; expected 1 or more");
  EXPECT_EQ(Refusal("count: 5", "count: 9223372036854775807"),
            "17:24: count of 1.h5 is 9223372036854775807; expected 1 or more");
  EXPECT_EQ(Refusal("count: 5", "count: 1099511627776"),
            "17:24: count makes more than 1099511627776 images");
  EXPECT_THAT(Refusal("sha256: \"", "sha256: \"g"), HasSubstr("expected 64 hexadecimal digits"));
}

TEST_F(ManifestTest, MissingPartsAreNamed) {
  EXPECT_THAT(std::string(Read("").status().message()), HasSubstr("format_version is 0"));
  EXPECT_THAT(std::string(Read("format_version: 1").status().message()),
              HasSubstr("class_name is missing"));
  EXPECT_EQ(Refusal("mean: 1\nmean: 2\nmean: 3\n", ""),
            " mean has 0 values; expected one a channel: 3");
  const std::string text = Whole();
  EXPECT_THAT(std::string(Read(text.substr(0, text.find("split"))).status().message()),
              HasSubstr("split is missing"));
  EXPECT_EQ(ReadManifest(folder_ + "/nowhere").status().message(),
            absl::StrCat("no data set in ", folder_, "/nowhere: cannot open ", folder_,
                         "/nowhere/manifest.pbtxt: No such file or directory; write one with "
                         "prepare_dataset (for example `prepare_dataset cifar10 --input=DIR "
                         "--output=",
                         folder_, "/nowhere`)"));
}

// The rest of the program relies on the bounds that ReadManifest() guarantees, so they must hold
// for any damaged or hostile manifest that it accepts.
TEST_F(ManifestTest, ManyMutationsAreRefusedOrKeepEveryBound) {
  const std::string whole = Whole();
  const std::vector<std::string> tokens = {"{",
                                           "}",
                                           "\"",
                                           ":",
                                           "-1",
                                           "0",
                                           "99999999999999999999",
                                           "1e400",
                                           "nan",
                                           "split { ",
                                           "../",
                                           "\\x00",
                                           "height: 2147483647 ",
                                           "count: 9223372036854775807 ",
                                           "class_name: \"\" ",
                                           "# "};
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string text = whole;
    for (size_t edits = 1 + random() % 2; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 6) {
        case 0:
          text[at] = static_cast<char>(random());
          break;
        case 1:
          text.erase(at, 1 + random() % 8);
          break;
        case 2:
          text.insert(at, tokens[random() % tokens.size()]);
          break;
        case 3: {  // removes a line
          const size_t begin = text.rfind('\n', at) + 1;
          text.erase(begin, text.find('\n', at) - begin);
          break;
        }
        case 4:  // changes a digit
          if (const size_t digit = text.find_first_of("0123456789", at); digit < text.size()) {
            text[digit] = static_cast<char>('0' + random() % 10);
          }
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), random() % 40));
      }
      if (text.empty()) text = " ";
    }
    const auto manifest = Read(text);
    if (!manifest.ok()) {
      ASSERT_EQ(manifest.status().code(), absl::StatusCode::kInvalidArgument) << text;
      ASSERT_THAT(std::string(manifest.status().message()), HasSubstr("manifest.pbtxt:")) << text;
      continue;
    }
    ++accepted;
    ASSERT_TRUE(CheckImages(*manifest).ok());
    ASSERT_GT(ImageBytes(*manifest), 0);
    ASSERT_EQ(manifest->mean_size(), manifest->channels());
    ASSERT_EQ(manifest->std_size(), manifest->channels());
    ASSERT_GT(manifest->split_size(), 0);
    for (const DatasetSplit& split : manifest->split()) {
      ASSERT_GT(ImageCount(split), 0);
      ASSERT_LE(ImageCount(split), INT64_MAX / ImageBytes(*manifest));
      for (const DatasetShard& shard : split.shard()) {
        ASSERT_EQ(fs::path(shard.file()).filename(), shard.file()) << text;
      }
    }
  }
  EXPECT_GT(accepted, 100) << "else the mutations reach too little";
  EXPECT_LT(accepted, 1500);
}

TEST_F(ManifestTest, ASplitsDigestCoversItsImagesAndClassesAlone) {
  const auto read = Read(Whole());
  ASSERT_TRUE(read.ok()) << read.status();
  const std::string digest = SplitDigest(*read, read->split(0));

  DatasetManifest same = *read;
  same.set_name("another name");
  same.set_source("another place");
  same.add_split()->set_name("more");
  EXPECT_EQ(SplitDigest(same, same.split(0)), digest);

  DatasetManifest renamed = *read;
  renamed.set_class_name(0, "z");
  EXPECT_NE(SplitDigest(renamed, renamed.split(0)), digest);
  DatasetManifest changed = *read;
  changed.mutable_split(0)->mutable_shard(0)->set_sha256(std::string(64, '0'));
  EXPECT_NE(SplitDigest(changed, changed.split(0)), digest);
}

}  // namespace
}  // namespace finetune
