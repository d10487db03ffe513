#include "src/config/diff.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"

namespace finetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DiffTest : public testing::Test {
 protected:
  LoadedConfig Load(const std::string& name, const std::string& text,
                    const std::vector<std::string>& overrides = {}) {
    const std::string path = absl::StrCat(folder_, "/", name);
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    absl::StatusOr<LoadedConfig> loaded =
        LoadConfig(path, {.search_path = {}, .overrides = overrides});
    EXPECT_TRUE(loaded.ok()) << loaded.status();
    return loaded.ok() ? *loaded : LoadedConfig();
  }

  // Returns each difference as "path: left (place) | right (place)".
  std::vector<std::string> Lines(const LoadedConfig& left, const LoadedConfig& right) {
    std::vector<std::string> lines;
    for (const FieldDiff& diff : DiffConfigs(left, right)) {
      std::string line = absl::StrCat(diff.path, ": ");
      for (const DiffSide& side : {diff.left, diff.right}) {
        absl::StrAppend(&line, side.value,
                        side.place.empty() ? "" : absl::StrCat(" (", side.place, ")"), " | ");
      }
      line.resize(line.size() - 3);
      lines.push_back(absl::StrReplaceAll(line, {{folder_ + "/", ""}}));
    }
    return lines;
  }

  const std::string folder_ = EmptyTestFolder();
};

TEST_F(DiffTest, HidesTheSecretsOfUrlsAndTakesThemForEqual) {
  const auto load = [&](const std::string& name, const std::string& url) {
    return Load(name,
                absl::StrCat("model { backbone { pretrained { checkpoint: \"", url, "\" } } }"));
  };
  EXPECT_THAT(Lines(load("a", "https://me:word@h/x?one"), load("b", "https://***@h/x?***")),
              IsEmpty());
  const std::vector<std::string> lines =
      Lines(load("a", "https://me:word@h/x"), load("b", "https://me:word@h/y"));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], testing::AllOf(testing::HasSubstr("https://***@h/x"),
                                       testing::HasSubstr("https://***@h/y")));
}

TEST_F(DiffTest, NamesEachFieldWithBothValuesAndTheirPlaces) {
  EXPECT_THAT(
      Lines(Load("a.pbtxt", "optimizer { sgd { lr: 0.1 momentum: 0.9 } }"),
            Load("b.pbtxt", "optimizer {\n  sgd { lr: 0.1 momentum: 0.9 }\n}",
                 {"optimizer.sgd.lr=0.2"})),
      ElementsAre("optimizer.sgd.lr: 0.1 (a.pbtxt:1:19) | 0.2 (--set=optimizer.sgd.lr=0.2)"));
}

TEST_F(DiffTest, HasNothingForConfigsThatOnlyDifferInTheirFilesNames) {
  const std::string text = "optimizer { sgd { lr: 0.1 } }";
  EXPECT_THAT(Lines(Load("a.pbtxt", text), Load("b.pbtxt", text)), IsEmpty());
  EXPECT_EQ(FormatDiff({}), "");
}

TEST_F(DiffTest, ComparesNamesThatAreSet) {
  EXPECT_THAT(Lines(Load("a.pbtxt", "name: \"x\""), Load("b.pbtxt", "name: \"y\"")),
              ElementsAre("name: \"x\" (a.pbtxt:1:1) | \"y\" (b.pbtxt:1:1)"));
}

TEST_F(DiffTest, ADefaultThatIsSetIsNoDifference) {
  EXPECT_THAT(Lines(Load("a.pbtxt", "optimizer { sgd { lr: 0.1 momentum: 0 } }"),
                    Load("b.pbtxt", "optimizer { sgd { lr: 0.1 } }")),
              IsEmpty());
  EXPECT_THAT(Lines(Load("a.pbtxt", "optimizer { sgd { lr: 0.1 momentum: 0.5 } }"),
                    Load("b.pbtxt", "optimizer { sgd { lr: 0.1 } }")),
              ElementsAre("optimizer.sgd.momentum: 0.5 (a.pbtxt:1:27) | not set, so 0"));
}

TEST_F(DiffTest, AnotherMemberOfAOneofIsTwoDifferences) {
  EXPECT_THAT(Lines(Load("a.pbtxt", "optimizer { sgd { lr: 0.1 } }"),
                    Load("b.pbtxt", "optimizer { adamw { lr: 0.001 } }")),
              ElementsAre("optimizer.sgd: { lr: 0.1 } (a.pbtxt:1:13) | not set",
                          "optimizer.adamw: not set | { lr: 0.001 } (b.pbtxt:1:13)"));
}

TEST_F(DiffTest, AListOfValuesIsOneField) {
  EXPECT_THAT(Lines(Load("a.pbtxt", "schedule { multi_step { milestones: [1, 2, 3] } }"),
                    Load("b.pbtxt", "schedule { multi_step { milestones: [4, 5] } }")),
              ElementsAre("schedule.multi_step.milestones: [1, 2, 3] (a.pbtxt:1:25) | [4, 5] "
                          "(b.pbtxt:1:25)"));
}

TEST_F(DiffTest, ElementsOfAListHaveTheNamesThatSetTakes) {
  EXPECT_THAT(
      Lines(Load("a.pbtxt", "data { train { pipeline { resize { size: 32 } } } }"),
            Load("b.pbtxt",
                 "data { train { pipeline { resize { size: 64 } } pipeline { normalize {} } } }")),
      ElementsAre("data.train.pipeline[0].resize.size: 32 (a.pbtxt:1:36) | 64 (b.pbtxt:1:36)",
                  "data.train.pipeline[1]: not set | { normalize { } } (b.pbtxt:1:49)"));
}

TEST_F(DiffTest, IsForPeopleToRead) {
  EXPECT_EQ(
      FormatDiff({{"optimizer.sgd.lr", {"0.1", "a.pbtxt:1:19"}, {"0.25", "b.pbtxt:2:3"}},
                  {"optimizer.sgd.nesterov", {"true", "a.pbtxt:3:1"}, {"not set, so false", ""}}}),
      "optimizer.sgd.lr\n"
      "  - 0.1   # a.pbtxt:1:19\n"
      "  + 0.25  # b.pbtxt:2:3\n"
      "optimizer.sgd.nesterov\n"
      "  - true               # a.pbtxt:3:1\n"
      "  + not set, so false\n");
}

}  // namespace
}  // namespace finetune
