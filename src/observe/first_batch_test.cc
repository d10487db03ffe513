#include "src/observe/first_batch.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using testing::HasSubstr;

// Returns a sheet of `images` grey images of side x side.
ContactSheet Sheet(int side, size_t images) {
  ContactSheet sheet;
  sheet.height = sheet.width = side;
  sheet.channels = 3;
  sheet.title = "first \"images\"";
  for (size_t i = 0; i < images; ++i) {
    sheet.images.push_back(
        {std::vector<uint8_t>(size_t{3} * side * side, 100), absl::StrCat(i, ": <cat>\xff")});
  }
  return sheet;
}

FirstBatch Encoded(int side, size_t images) {
  absl::StatusOr<FirstBatch> batch = EncodeFirstBatch(Sheet(side, images), 7);
  EXPECT_TRUE(batch.ok()) << batch.status();
  return *std::move(batch);
}

TEST(FirstBatchTest, ReadsWhatItWrites) {
  const std::string folder = EmptyTestFolder();
  const FirstBatch batch = Encoded(8, 3);
  ASSERT_TRUE(WriteFileAtomically(FirstBatchPath(folder), ToJson(batch)).ok());
  const absl::StatusOr<FirstBatch> read = ReadFirstBatch(folder);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->iteration, 7);
  EXPECT_EQ(read->title, batch.title);
  ASSERT_EQ(read->images.size(), 3u);
  EXPECT_EQ(read->images[2].bytes, batch.images[2].bytes);
  EXPECT_EQ(read->images[2].caption, "2: <cat>\xEF\xBF\xBD");  // a byte that is not UTF-8
}

TEST(FirstBatchTest, BeginsWithALineThatNamesFinetuneAndIsJson) {
  const std::string text = ToJson(Encoded(8, 1));
  EXPECT_TRUE(absl::StartsWith(text, absl::StrCat(kFirstBatchFirstLine, "\n"))) << text;
  EXPECT_TRUE(nlohmann::json::accept(text));
}

TEST(FirstBatchTest, KeepsSmallImagesAsPngAndLargeOnesAsJpeg) {
  EXPECT_EQ(Encoded(64, 1).images[0].media_type, "image/png");
  EXPECT_THAT(Encoded(64, 1).images[0].bytes, testing::StartsWith("\x89PNG"));
  EXPECT_EQ(Encoded(65, 1).images[0].media_type, "image/jpeg");
  EXPECT_THAT(Encoded(65, 1).images[0].bytes, testing::StartsWith("\xff\xd8"));
}

TEST(FirstBatchTest, ReadsNoMoreImagesThanItShows) {
  EXPECT_EQ(ParseFirstBatch(ToJson(Encoded(2, kMostFirstImages + 1)))->images.size(),
            kMostFirstImages);
}

TEST(FirstBatchTest, RefusesTextThatIsNotAFirstBatch) {
  const std::string good = ToJson(Encoded(2, 1));
  for (const auto& [text, error] : std::vector<std::pair<std::string, std::string>>{
           {"", "not a JSON object"},
           {"[]", "not a JSON object"},
           {"{}", "no list \"images\""},
           {R"({"images": [7]})", "images[0].media_type is \"\""},
           {absl::StrReplaceAll(good, {{"image/png", "image/svg+xml"}}),
            "images[0].media_type is \"image/svg+xml\"; expected image/png or image/jpeg"},
           {absl::StrReplaceAll(good, {{"\"base64\": \"", "\"base64\": \"<"}}),
            "images[0].base64 is not base64"},
           {absl::StrReplaceAll(good, {{"\"format_version\": 1", "\"format_version\": 9"}}),
            "format"}}) {
    const absl::StatusOr<FirstBatch> parsed = ParseFirstBatch(text);
    EXPECT_FALSE(parsed.ok());
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(error));
  }
}

TEST(FirstBatchTest, IsDeletedWhereItIsThere) {
  const std::string folder = EmptyTestFolder();
  ASSERT_TRUE(WriteFileAtomically(FirstBatchPath(folder), ToJson(Encoded(2, 1))).ok());
  EXPECT_TRUE(RemoveFirstBatch(folder).ok());
  EXPECT_TRUE(RemoveFirstBatch(folder).ok());
  EXPECT_FALSE(ReadFile(FirstBatchPath(folder)).ok());
}

TEST(FirstBatchTest, NamesThePathOfAFileThatIsNotThere) {
  const absl::Status status = ReadFirstBatch("/nowhere").status();
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/first_batch.json"));
}

}  // namespace
}  // namespace finetune
