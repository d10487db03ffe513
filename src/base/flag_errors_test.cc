#include "src/base/flag_errors.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

class FlagErrorsTest : public testing::Test {
 protected:
  FlagErrorsTest() {
    app_.add_option("--config", text_);
    app_.add_option("--iterations", whole_)->check(WholeNumber(1));
    app_.add_option("--shards", small_)->check(WholeNumber(1, 99999));
    app_.add_option("--fraction", real_)->check(NumberBetween(0, 0.5));
    app_.add_option("--origins", flag_)->check(TrueOrFalse());
    app_.add_flag("--overwrite", flag_);
    app_.add_subcommand("convert")->add_option("--input", text_)->required();
  }

  // Returns ExplainFlags()'s message where the app refuses `arguments`, or "" where it accepts
  // them.
  std::string Refusal(const std::vector<std::string>& arguments) {
    try {
      app_.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
    } catch (const CLI::ParseError& error) {
      return ExplainFlags(app_, arguments, error);
    }
    return "";
  }

  std::string text_;
  int64_t whole_ = 0;
  int small_ = 0;
  double real_ = 0;
  bool flag_ = false;
  CLI::App app_;
};

TEST_F(FlagErrorsTest, ValuesAreCheckedInWords) {
  EXPECT_EQ(Refusal({"--iterations=0"}),
            "--iterations: expected a whole number of 1 or more, got 0");
  EXPECT_EQ(Refusal({"--iterations=1e3"}),
            "--iterations: expected a whole number of 1 or more, got 1e3");
  EXPECT_EQ(Refusal({"--iterations=99999999999999999999"}),
            "--iterations: expected a whole number of 1 or more, got 99999999999999999999");
  EXPECT_EQ(Refusal({"--shards", "x"}), "--shards: expected a whole number from 1 to 99999, got x");
  EXPECT_EQ(Refusal({"--fraction=0.6"}), "--fraction: expected a number from 0 to 0.5, got 0.6");
  EXPECT_EQ(Refusal({"--fraction=nan"}), "--fraction: expected a number from 0 to 0.5, got nan");
  EXPECT_EQ(Refusal({"--origins=perhaps"}), "--origins: expected true or false, got perhaps");
  EXPECT_EQ(Refusal({"--overwrite=perhaps"}), "--overwrite: cannot take perhaps; see --help");
  EXPECT_EQ(Refusal({"--iterations=7", "--shards=99999", "--fraction=0.5", "--origins=false"}), "");
  EXPECT_EQ(whole_, 7);
  EXPECT_EQ(small_, 99999);
  EXPECT_EQ(real_, 0.5);
}

// CLI11 would read 010 as 8.
TEST_F(FlagErrorsTest, RefusesLeadingZeros) {
  for (const char* number : {"010", "007", "08", "+010"}) {
    EXPECT_EQ(
        Refusal({absl::StrCat("--iterations=", number)}),
        absl::StrCat("--iterations: expected a whole number without a leading 0, got ", number));
  }
  EXPECT_EQ(Refusal({"--iterations=10", "--fraction=0.5"}), "");
  EXPECT_EQ(whole_, 10);
}

TEST_F(FlagErrorsTest, MissingRepeatedAndExcessArgumentsAreNamed) {
  EXPECT_EQ(Refusal({"--config"}), "--config: has no value; it is given as --config=VALUE");
  EXPECT_EQ(Refusal({"--config="}), "--config: has no value; it is given as --config=VALUE");
  EXPECT_EQ(Refusal({"--config=a", "--config=b"}), "--config: is given more than once");
  EXPECT_EQ(Refusal({"--config=a", "b"}),
            "b: is not expected here; values follow their flag, as in --flag=value");
  EXPECT_EQ(Refusal({"--config=a", "optimizer.sgd.lr=0.1"}),
            "optimizer.sgd.lr=0.1: is not expected here; did you mean "
            "--set=optimizer.sgd.lr=0.1?");
  EXPECT_EQ(Refusal({"--config=a", "-n", "5"}),
            "-n: is not expected here; flags begin with two dashes");
  EXPECT_EQ(Refusal({"convert"}), "--input is required; see --help");
  EXPECT_EQ(Refusal({"convert", "data"}), "data: is not expected here; did you mean --input=data?");
}

TEST_F(FlagErrorsTest, UnknownFlagsComeFirst) {
  EXPECT_EQ(Refusal({"--iterations=0", "--confg=a"}),
            "--confg: no such flag; did you mean --config?");
}

}  // namespace
}  // namespace finetune
