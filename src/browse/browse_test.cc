#include "src/browse/browse.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/data/builder.h"
#include "src/data/dataset.h"
#include "src/data/decode/decode.h"
#include "src/data/loader.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kSide = 6;
constexpr int kImages = 10;

class BrowseTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    DatasetBuilder::Options options;
    options.folder = folder_ + "/data";
    options.class_names = {"<cat>", "dog"};
    options.height = options.width = kSide;
    options.channels = 3;
    auto builder = DatasetBuilder::Create(options);
    ASSERT_TRUE(builder.ok()) << builder.status();
    for (const char* split : {"train", "test"}) {
      ASSERT_TRUE(builder->BeginSplit(split, kImages).ok());
      for (int i = 0; i < kImages; ++i) {
        ASSERT_TRUE(builder->Add(Pixels(i), i % 2).ok());
      }
    }
    ASSERT_TRUE(builder->Finish().ok());
  }

  static std::vector<uint8_t> Pixels(int image) {
    std::vector<uint8_t> pixels;
    for (int j = 0; j < kSide * kSide * 3; ++j) {
      pixels.push_back(static_cast<uint8_t>(61 * image + 29 * j));
    }
    return pixels;
  }

  // `train`: the fields of data.train apart from path, total_batch_size and split.
  LoadedConfig Config(const std::string& train) const {
    const std::string data = absl::StrCat("path: \"", folder_, "/data\" total_batch_size: 4 ");
    const std::string text = absl::StrCat(
        "name: \"pets\" model { backbone { resnet { depth: 18 stem: CIFAR } } "
        "head { num_classes: 2 } }\n"
        "data { train { split: \"train\" ",
        data, train, " } val { split: \"test\" ", data,
        " pipeline { normalize {} } } }\n"
        "optimizer { sgd { lr: 0.1 } } schedule { max_epochs: 1 constant {} }\n");
    EXPECT_TRUE(WriteFileAtomically(folder_ + "/config.pbtxt", text).ok());
    absl::StatusOr<LoadedConfig> loaded = LoadConfig(folder_ + "/config.pbtxt", {});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return *std::move(loaded);
  }

  std::string folder_;
};

TEST_F(BrowseTest, ShowsStoredPixelsWhereThePipelineOnlyNormalises) {
  const auto sheet = MakeContactSheet(Config("shuffle: false pipeline { normalize {} }"), {});
  ASSERT_TRUE(sheet.ok()) << sheet.status();
  ASSERT_EQ(sheet->images.size(), static_cast<size_t>(kImages));
  for (int i = 0; i < kImages; ++i) {
    EXPECT_EQ(sheet->images[i].pixels, Pixels(i)) << i;
    EXPECT_EQ(sheet->images[i].caption, absl::StrCat(i, i % 2 == 0 ? ": <cat>" : ": dog"));
  }
}

TEST_F(BrowseTest, ShowsWhatARunsOwnLoaderGives) {
  const LoadedConfig loaded = Config(
      "pipeline { random_crop { size: 6 padding: 2 } } pipeline { random_flip {} } "
      "pipeline { normalize { mean: [0, 0, 0] std: [1, 1, 1] } } "
      "batch_transform { mixup { alpha: 1 } }");
  const auto sheet = MakeContactSheet(loaded, {.images = 6, .epoch = 2});
  ASSERT_TRUE(sheet.ok()) << sheet.status();
  ASSERT_EQ(sheet->images.size(), 6u);
  auto dataset = Dataset::Open(folder_ + "/data", "train");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  auto loader = BatchLoader::Create(*std::move(dataset), loaded.config.data().train(), {});
  ASSERT_TRUE(loader.ok()) << loader.status();
  (*loader)->Seek(/*epoch=*/2, /*iteration=*/0);
  for (size_t shown = 0; shown < 6;) {
    const auto batch = (*loader)->Next();
    ASSERT_TRUE(batch.ok()) << batch.status();
    for (int64_t row = 0; row < batch->labels.size(0) && shown < 6; ++row, ++shown) {
      const at::Tensor image = batch->images[row].permute({1, 2, 0}).contiguous();
      const auto& pixels = sheet->images[shown].pixels;
      ASSERT_EQ(static_cast<size_t>(image.numel()), pixels.size());
      for (size_t i = 0; i < pixels.size(); ++i) {
        ASSERT_NEAR(pixels[i], image.const_data_ptr<float>()[i], 0.51) << i;
      }
      EXPECT_THAT(sheet->images[shown].caption,
                  AnyOf(HasSubstr(" % "), HasSubstr(": <cat>"), HasSubstr(": dog")));
    }
  }
}

TEST_F(BrowseTest, AnEpochOfItsOwnIsAugmentedDifferently) {
  const LoadedConfig loaded = Config(
      "shuffle: false pipeline { random_crop { size: 6 padding: 6 } } pipeline { normalize {} }");
  const auto first = MakeContactSheet(loaded, {}), second = MakeContactSheet(loaded, {.epoch = 1});
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_NE(first->images[0].pixels, second->images[0].pixels);
}

TEST_F(BrowseTest, ReplacesItsOwnPageAndNoOther) {
  const LoadedConfig loaded = Config("pipeline { normalize {} }");
  const std::string out = folder_ + "/own.html";
  EXPECT_TRUE(RunBrowse(loaded, {.out = out, .split = "val", .images = 1}).ok());
  EXPECT_TRUE(RunBrowse(loaded, {.out = out, .split = "val", .images = 1}).ok());
  ASSERT_TRUE(WriteFileAtomically(out, "my notes").ok());
  EXPECT_TRUE(
      absl::IsAlreadyExists(RunBrowse(loaded, {.out = out, .split = "val", .images = 1}).status()));
  EXPECT_EQ(*ReadFile(out), "my notes");
}

TEST_F(BrowseTest, WritesAPageThatLoadsNothing) {
  const LoadedConfig loaded = Config("pipeline { normalize {} }");
  const std::string out = folder_ + "/sheet.html";
  const auto text = RunBrowse(loaded, {.out = out, .split = "val", .images = 3});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, absl::StrCat(out, ": 3 images of 6x6\n"));
  const auto html = ReadFile(out);
  ASSERT_TRUE(html.ok()) << html.status();
  EXPECT_THAT(*html, AllOf(HasSubstr("<figcaption>0: &lt;cat&gt;</figcaption>"),
                           HasSubstr("<h1>pets: data.val, epoch 1</h1>"),
                           HasSubstr("src=\"data:image/png;base64,"), Not(HasSubstr("http")),
                           Not(HasSubstr("<script"))));
}

TEST_F(BrowseTest, WritesAPngOfTheImagesInRows) {
  const LoadedConfig loaded = Config("shuffle: false pipeline { normalize {} }");
  const std::string out = folder_ + "/sheet.png";
  const auto text = RunBrowse(loaded, {.out = out, .images = 5});
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_EQ(*text, absl::StrCat("0: <cat> | 1: dog | 2: <cat>\n3: dog | 4: <cat>\n", out,
                                ": 5 images of 6x6\n"));
  const auto png = ReadFile(out);
  ASSERT_TRUE(png.ok()) << png.status();
  ImageDecoder decoder;
  DecodedImage image;
  ASSERT_TRUE(decoder.Decode(*png, &image).ok());
  ASSERT_EQ(image.height, 2 * kSide + 3 * 2);
  ASSERT_EQ(image.width, 3 * kSide + 4 * 2);
  const std::vector<uint8_t> fourth = Pixels(3);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide * 3; ++x) {
      const size_t at = (size_t{1} * (y + kSide + 4) * image.width + 2) * 3 + x;
      ASSERT_EQ(image.pixels[at], fourth[size_t{1} * y * kSide * 3 + x]);
    }
  }
}

TEST_F(BrowseTest, RefusesAnotherSplit) {
  EXPECT_EQ(CheckBrowseFlags({.split = "test"}).message(), "--split=test: expected train or val");
}

TEST_F(BrowseTest, RefusesAnotherEnding) {
  EXPECT_EQ(CheckBrowseFlags({.out = "sheet.jpg"}).message(),
            "--out=sheet.jpg: expected a name that ends in .html or .png");
  EXPECT_TRUE(CheckBrowseFlags({.out = "sheet.PNG"}).ok());
}

TEST_F(BrowseTest, NamesTheFieldOfADataSetThatIsNotThere) {
  LoadedConfig loaded = Config("pipeline { normalize {} }");
  loaded.config.mutable_data()->mutable_train()->set_path("nowhere");
  EXPECT_THAT(std::string(MakeContactSheet(loaded, {}).status().message()),
              AllOf(HasSubstr("data.train"), HasSubstr("nowhere")));
}

}  // namespace
}  // namespace finetune
