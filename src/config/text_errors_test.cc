#include "src/config/text_errors.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/config/experiment.pb.h"

namespace finetune {
namespace {

using ::google::protobuf::TextFormat;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Returns each error as "line:column field: what", in the order of the text.
std::vector<std::string> ErrorsOf(const std::string& text) {
  std::vector<std::string> lines;
  for (const TextError& error : FindTextErrors(text, ExperimentConfig::descriptor())) {
    lines.push_back(
        absl::StrCat(error.line, ":", error.column, " ", error.field, ": ", error.what));
  }
  return lines;
}

TEST(TextErrors, ValuesOfAnotherTypeAreNamedWithWhatWasExpected) {
  EXPECT_THAT(ErrorsOf("schedule { max_epochs: 1.5 }\n"
                       "optimizer { sgd { lr: true momentum: \"0.9\" nesterov: yes } }\n"
                       "runtime { seed: -1 threads: 3000000000 engine: JIT work_dir: here }\n"
                       "model { head: 10 backbone { resnet { depth { value: 18 } } } }"),
              ElementsAre("1:24 max_epochs: expected a whole number, got 1.5",
                          "2:23 lr: expected a number, got true",
                          "2:38 momentum: expected a number, got \"0.9\"",
                          "2:54 nesterov: expected true or false, got yes",
                          "3:17 seed: is -1; expected 0 or more",
                          "3:29 threads: is 3000000000; expected -2147483648 to 2147483647",
                          "3:48 engine: no such value JIT; the values are FUSED, PLAIN",
                          "3:62 work_dir: expected text in quotes, got here",
                          "4:15 head: is a message: expected {, got 10",
                          "4:44 depth: expected : before its value, got {"));
}

// Protobuf's parser would read 010 as 8.
TEST(TextErrors, RefusesLeadingZerosAndTakesHexadecimal) {
  EXPECT_THAT(ErrorsOf("runtime { seed: 010 log_interval: 007 tensorboard: 01 engine: 01 }\n"
                       "schedule { max_epochs: -08 multi_step { milestones: [5, 015] } }\n"
                       "optimizer { sgd { lr: 00 momentum: 0x1 } }"),
              ElementsAre("1:17 seed: is 010; a leading 0 would make it octal: write 10",
                          "1:35 log_interval: is 007; a leading 0 would make it octal: write 7",
                          "1:52 tensorboard: is 01; a leading 0 would make it octal: write 1",
                          "1:63 engine: is 01; a leading 0 would make it octal: write 1",
                          "2:24 max_epochs: is -08; a leading 0 would make it octal: write -8",
                          "2:57 milestones: is 015; a leading 0 would make it octal: write 15",
                          "3:23 lr: is 00; a leading 0 would make it octal: write 0",
                          "3:36 momentum: is 0x1; expected a decimal number"));
  EXPECT_THAT(ErrorsOf("runtime { seed: 0x1F threads: 0 } optimizer { sgd { lr: 0.5 } }"),
              IsEmpty());
}

TEST(TextErrors, NumbersAreShownAsTheyAreWritten) {
  EXPECT_THAT(
      ErrorsOf("optimizer { sgd { lr: 01.5 momentum: -00.5e-3 weight_decay: 0X1F } }\n"
               "\tschedule { max_epochs: 01.5 cosine { min_lr: 0x1F.8 } }\n"
               "data { train { pipeline { normalize { mean: [01.5, 2, 01e2] } } shuffle: 01.5 } }"),
      ElementsAre("1:23 lr: is 01.5; a leading 0 would make it octal: write 1.5",
                  "1:38 momentum: is -00.5e-3; a leading 0 would make it octal: write -0.5e-3",
                  "1:61 weight_decay: is 0X1F; expected a decimal number",
                  "2:32 max_epochs: expected a whole number, got 01.5",
                  "2:54 min_lr: is 0x1F.8; expected a decimal number",
                  "3:46 mean: is 01.5; a leading 0 would make it octal: write 1.5",
                  "3:55 mean: is 01e2; a leading 0 would make it octal: write 1e2",
                  "3:74 shuffle: expected true or false, got 01.5"));
}

TEST(TextErrors, AnEnumSuggestsValuesOfItsOwnField) {
  // Both messages have a field "algorithm", but only NcclConfig's has the value TREE.
  EXPECT_THAT(ErrorsOf("comm { mpi { algorithm: RINGS } nccl { algorithm: TREES } }"),
              ElementsAre("1:25 algorithm: no such value RINGS; did you mean RING?",
                          "1:51 algorithm: no such value TREES; did you mean TREE?"));
  EXPECT_THAT(ErrorsOf("comm { mpi { algorithm: TREE } }"),
              ElementsAre("1:25 algorithm: no such value TREE; the values are AUTO, RING, "
                          "MPI_CHOICE, SHARED_MEMORY"));
}

TEST(TextErrors, UnknownFieldsAreNamedAndTheirContentsPassedOver) {
  EXPECT_THAT(ErrorsOf("modle { backbone { depth: x } }\nruntime { sed: [1, 2] max_norm: 1 }"),
              ElementsAre("1:1 modle: no such field in ExperimentConfig; did you mean model?",
                          "2:11 sed: no such field in RuntimeConfig; did you mean seed?",
                          "2:23 max_norm: no such field in RuntimeConfig; it belongs to "
                          "optimizer.clip_gradient.max_norm"));
}

TEST(TextErrors, BracketsThatDoNotMatchAreNamedWhereTheyOpen) {
  EXPECT_THAT(ErrorsOf("model {"), ElementsAre("1:7 model: its { is not closed"));
  EXPECT_THAT(ErrorsOf("model { head {\n  num_classes: 10\n}"),
              ElementsAre("1:7 model: its { is not closed"));
  EXPECT_THAT(ErrorsOf("model {} }\nname: \"x\" ]"),
              ElementsAre("1:10 : this } closes nothing", "2:11 : this ] closes nothing"));
  EXPECT_THAT(ErrorsOf("schedule { multi_step { milestones: [1, 2 } }"),
              ElementsAre("1:37 milestones: its [ is not closed"));
}

TEST(TextErrors, FieldsThatExcludeEachOtherNameBothPlaces) {
  EXPECT_THAT(ErrorsOf("runtime { seed: 1 }\nruntime { seed: 2 seed: 3 }\n"
                       "schedule { cosine {} constant {} }"),
              ElementsAre("2:1 runtime: is given twice, first at 1:1; put its fields together",
                          "2:19 seed: is given twice, first at 2:11; put one of them",
                          "3:22 constant: and cosine (3:12) exclude each other; leave one out"));
}

TEST(TextErrors, OtherLanguagesAreTold) {
  EXPECT_THAT(ErrorsOf("name = \"x\""),
              ElementsAre("1:6 name: expected : before its value, got ="));
  EXPECT_THAT(ErrorsOf("optimizer.sgd.lr: 0.1"),
              ElementsAre("1:1 optimizer.sgd.lr: a file nests its fields in braces: a { b: 1 }; "
                          "paths are for --set"));
  EXPECT_THAT(ErrorsOf("import demo.pbtxt"),
              testing::Contains("1:8 import: expected : before its value, got demo"));
  EXPECT_THAT(ErrorsOf("import: demo/a.pbtxt\nname: 5"),
              ElementsAre("1:9 import: expected text in quotes, got demo",
                          "2:7 name: expected text in quotes, got 5"));
}

TEST(TextErrors, TextIsClosedOnItsLine) {
  EXPECT_THAT(ErrorsOf("import: \"demo.pbtxt\nruntime { seed: x }"),
              ElementsAre("1:20 : text in quotes is not closed",
                          "2:17 seed: expected a whole number, got x"));
}

TEST(TextErrors, ManyErrorsEnd) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "nonsense: 1\n";
  EXPECT_EQ(ErrorsOf(text).size(), 20u);
}

// For randomly damaged text FindTextErrors() returns, and if protobuf's parser accepts the text,
// the only errors are leading zeros.
TEST(TextErrors, FindsNothingInWhatTheParserTakes) {
  const std::string text =
      "import: 'a' 'b', name: \"x\";\n"
      "model < backbone: { resnet { depth: 18 stem: 1 } frozen_stages: - 1 } >  # comment\n"
      "data { train { pipeline: [{ resize { size: 0x10 } }, { normalize { mean: [1, 2.5, -3f] "
      "std: inf } }] shuffle: t } val { drop_last: 0 shuffle: False } }\n"
      "optimizer { sgd { lr: 1e-3f momentum: .9 weight_decay: -Infinity } rule {} rule {} }\n"
      "schedule { multi_step { milestones: [] } max_iterations: -9223372036854775808 }\n"
      "runtime { seed: 18446744073709551615 }";
  ExperimentConfig config;
  ASSERT_TRUE(TextFormat::ParseFromString(text, &config));
  EXPECT_THAT(ErrorsOf(text), IsEmpty());

  uint32_t state = 12345;
  int taken = 0;
  for (int i = 0; i < 5000; ++i) {
    std::string damaged = text;
    for (int k = 0; k < 2; ++k) {
      state = state * 1664525 + 1013904223;
      damaged[(state >> 8) % damaged.size()] = static_cast<char>(" {}[]<>:,.;-\"#a1x"[state >> 28]);
    }
    ExperimentConfig other;
    google::protobuf::TextFormat::Parser parser;
    class Quiet : public google::protobuf::io::ErrorCollector {
      void AddError(int, google::protobuf::io::ColumnNumber, const std::string&) override {}
    } quiet;
    parser.RecordErrorsTo(&quiet);
    const std::vector<std::string> errors = ErrorsOf(damaged);
    if (parser.ParseFromString(damaged, &other)) {
      ++taken;
      EXPECT_THAT(errors, testing::Each(testing::HasSubstr("a leading 0 would make it octal")))
          << damaged;
    } else {
      EXPECT_FALSE(errors.empty()) << damaged;
    }
  }
  EXPECT_GT(taken, 20);
}

std::string RestOf(const std::string& text) {
  std::string rest;
  FindTextErrors(text, ExperimentConfig::descriptor(), &rest);
  return rest;
}

TEST(TextErrors, TheRestHasTheOtherFieldsAtTheirPlaces) {
  EXPECT_EQ(RestOf("runtime { seed: 3 }"), "runtime { seed: 3 }");
  EXPECT_EQ(RestOf("runtime { sed: 3 threads: 2 }"), "runtime {        threads: 2 }");
  EXPECT_EQ(RestOf("optimiser { sgd { lr: 1 } }\nname: \"a\""),
            "                           \nname: \"a\"");
  EXPECT_EQ(RestOf("runtime {\n\tsed:\t{ a: [1,\n 2] };\tseed: 4 }"),
            "runtime {\n\t    \t        \n      \tseed: 4 }");
  EXPECT_EQ(RestOf("optimizer { sgd { lr: fast momentum: 0.9 } }"),
            "optimizer { sgd {          momentum: 0.9 } }");
  EXPECT_EQ(RestOf("model { head { topk: [1, x] dropout: 2 } }"),
            "model { head {              dropout: 2 } }");
  EXPECT_EQ(RestOf("runtime { seed: 010 threads: 2 }"), "runtime {           threads: 2 }");
  EXPECT_EQ(RestOf("runtime { seed = 1 threads: 2 }"), "runtime {          threads: 2 }");
  EXPECT_EQ(RestOf("runtime { seed 1 threads: 2 }"), "runtime {        threads: 2 }");
  EXPECT_EQ(RestOf("optimizer.sgd.lr: 3 name: \"a\""), "                    name: \"a\"");
  EXPECT_EQ(RestOf("runtime { seed: 1 seed: 2 }"), "runtime { seed: 1         }");
  EXPECT_EQ(RestOf("schedule { cosine {} poly { power: -1 } }"),
            "schedule { cosine {}                    }");
  EXPECT_EQ(RestOf("runtime { 5 seed: 2 }"), "runtime {   seed: 2 }");
}

// The parser refuses these, because it is not known which field a value belongs to.
TEST(TextErrors, TheRestKeepsWrongBracketsAndQuotes) {
  for (const std::string text :
       {"model { head { num_classes: 3 }", "model { } }",
        "runtime { sed: 1 work_dir: \"a }\nname: \"b\"", "model { head { topk: [1, 2 } }"}) {
    ExperimentConfig config;
    EXPECT_FALSE(TextFormat::ParseFromString(RestOf(text), &config)) << text;
  }
}

}  // namespace
}  // namespace finetune
