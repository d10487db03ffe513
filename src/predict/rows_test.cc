#include "src/predict/rows.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;

PredictionRow Row() { return {"a, \"b\".jpg", {{"cat", 1, 0.75F}, {"wet, dog", 0, 0.25F}}, ""}; }
PredictionRow BadRow() { return {"broken.png", {}, "is cut off"}; }

TEST(RowsTest, JsonLinesHaveGuessesOrAnError) {
  const nlohmann::json row = nlohmann::json::parse(ToLine(Row(), RowFormat::kJsonLines, 2));
  EXPECT_EQ(row["path"], "a, \"b\".jpg");
  EXPECT_EQ(row["guesses"][0]["class"], "cat");
  EXPECT_EQ(row["guesses"][0]["label"], 1);
  EXPECT_EQ(row["guesses"][1]["probability"], 0.25);
  EXPECT_FALSE(row.contains("error"));
  EXPECT_EQ(ToLine(BadRow(), RowFormat::kJsonLines, 2),
            "{\"path\":\"broken.png\",\"error\":\"is cut off\"}\n");
}

TEST(RowsTest, CsvQuotesAndKeepsItsNumberOfFields) {
  EXPECT_EQ(HeaderLine(RowFormat::kCsv, 2), "path,error,class1,probability1,class2,probability2\n");
  EXPECT_EQ(ToLine(Row(), RowFormat::kCsv, 2),
            "\"a, \"\"b\"\".jpg\",,cat,0.75,\"wet, dog\",0.25\n");
  EXPECT_EQ(ToLine(BadRow(), RowFormat::kCsv, 2), "broken.png,is cut off,,,,\n");
}

TEST(RowsTest, TableShowsTheEndOfALongPath) {
  PredictionRow row = Row();
  row.path = std::string(100, 'x') + "/the_end.jpg";
  EXPECT_THAT(ToLine(row, RowFormat::kTable, 2),
              HasSubstr("xxx/the_end.jpg  cat 75.0 %  wet, dog 25.0 %\n"));
  EXPECT_EQ(HeaderLine(RowFormat::kTable, 2), "");
}

TEST(RowsTest, BytesThatAreNotUtf8AreReplaced) {
  PredictionRow row = BadRow();
  row.path = "\xff.png";
  for (const RowFormat format : {RowFormat::kJsonLines, RowFormat::kTable}) {
    EXPECT_THAT(ToLine(row, format, 1), HasSubstr("\xef\xbf\xbd.png"));
  }
}

TEST(RowsTest, RefusesAnotherFormat) {
  EXPECT_EQ(ParseRowFormat("xml").status().message(), "found xml; expected jsonl, csv or table");
  EXPECT_EQ(*ParseRowFormat("csv"), RowFormat::kCsv);
}

}  // namespace
}  // namespace finetune
