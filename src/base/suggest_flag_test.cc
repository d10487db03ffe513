#include "src/base/suggest_flag.h"

#include "gtest/gtest.h"

namespace finetune {
namespace {

class SuggestFlagTest : public testing::Test {
 protected:
  SuggestFlagTest() {
    app_.add_option("--config", value_);
    app_.add_subcommand("train")->add_option("--resume", value_);
    app_.add_subcommand("evaluate")->add_option("--checkpoint", value_);
  }

  std::string value_;
  CLI::App app_;
};

TEST_F(SuggestFlagTest, NamesTheNearestFlagOfTheCommand) {
  EXPECT_EQ(SuggestFlag(app_, {"--confg=x"}), "--confg: no such flag; did you mean --config?");
  EXPECT_EQ(SuggestFlag(app_, {"train", "--resme", "auto"}),
            "--resme: no such flag; did you mean --resume?");
  EXPECT_EQ(SuggestFlag(app_, {"train", "--checkpoint=x"}),
            "--checkpoint: no such flag here; it belongs to evaluate");
  EXPECT_EQ(SuggestFlag(app_, {"--learning_rate=1"}), "--learning_rate: no such flag; see --help");
}

TEST_F(SuggestFlagTest, NamesTheNearestCommandOrAll) {
  EXPECT_EQ(SuggestFlag(app_, {"trian"}), "trian: no such command; did you mean train?");
  EXPECT_EQ(SuggestFlag(app_, {"eval"}), "eval: no such command; did you mean evaluate?");
  EXPECT_EQ(SuggestFlag(app_, {"x"}), "x: no such command; the commands are train, evaluate");
}

TEST_F(SuggestFlagTest, ValuesAreNotTakenForSlips) {
  EXPECT_EQ(SuggestFlag(app_, {}), "");
  EXPECT_EQ(SuggestFlag(app_, {"train", "--resume=trian"}), "");
  EXPECT_EQ(SuggestFlag(app_, {"train", "--resume", "evaluat"}), "");
}

}  // namespace
}  // namespace finetune
