#include "src/main/completion.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/main/commands/all.h"

namespace finetune {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// Runs a command of bash, and returns the lines that it prints.
std::vector<std::string> Lines(const std::string& command) {
  FILE* const pipe = popen(
      absl::StrCat("bash -c '", absl::StrReplaceAll(command, {{"'", "'\\''"}}), "' 2>&1").c_str(),
      "r");
  std::string output;
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  EXPECT_EQ(pclose(pipe), 0) << output;
  return absl::StrSplit(output, '\n', absl::SkipEmpty());
}

class CompletionTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(
        WriteFileAtomically(folder_ + "/bash", BashCompletion(commands_, ValueFields())).ok());
    ASSERT_TRUE(
        WriteFileAtomically(folder_ + "/zsh", ZshCompletion(commands_, ValueFields())).ok());
    ASSERT_TRUE(WriteFileAtomically(folder_ + "/mine.pbtxt", "").ok());
  }

  // Returns the completions that bash offers after this line, in the folder of mine.pbtxt. Bash
  // cuts the line into words at white space and at "=", and replaces the last word.
  std::vector<std::string> Offers(const std::string& line) {
    return Lines(absl::StrCat("cd ", folder_, "; source ./bash; COMP_WORDBREAKS=$' \\t\\n\"=:'; ",
                              "COMP_LINE='", line, "'; COMP_POINT=${#COMP_LINE}; _finetune; ",
                              "printf '%s\\n' \"${COMPREPLY[@]}\""));
  }

  const std::string folder_ = EmptyTestFolder();
  const CommandList commands_ = MakeCommands();
};

TEST_F(CompletionTest, OffersCommands) {
  EXPECT_THAT(Offers("finetune ev"), ElementsAre("evaluate"));
  EXPECT_THAT(Offers("finetune "), AllOf(Contains("train"), Contains("plan"), Contains("summary")));
}

TEST_F(CompletionTest, OffersTheFlagsOfTheCommand) {
  EXPECT_THAT(Offers("finetune evaluate --ch"), ElementsAre("--checkpoint="));
  EXPECT_THAT(Offers("finetune plan --ranks"),
              UnorderedElementsAre("--ranks=", "--ranks_per_host="));
  // Without a command's name the flags of train are offered.
  EXPECT_THAT(Offers("finetune --over"), ElementsAre("--overwrite"));
  EXPECT_THAT(Offers("finetune --config=a.pbtxt --max"), ElementsAre("--max_iterations="));
  EXPECT_THAT(Offers("finetune --checkp"), IsEmpty());
}

TEST_F(CompletionTest, OffersFieldsAndTheirValues) {
  EXPECT_THAT(Offers("finetune --set=optimizer.sgd.l"), ElementsAre("optimizer.sgd.lr="));
  EXPECT_THAT(Offers("finetune plan --set=data.train.pipeline[0].resize.s"),
              ElementsAre("data.train.pipeline[0].resize.size="));
  EXPECT_THAT(Offers("finetune --set=runtime.device="), ElementsAre("AUTO", "CPU", "CUDA"));
  EXPECT_THAT(Offers("finetune --set=runtime.device=CU"), ElementsAre("CUDA"));
  EXPECT_THAT(Offers("finetune --set=optimizer.sgd.lr=0"), IsEmpty());
}

TEST_F(CompletionTest, OffersValuesOfFlags) {
  EXPECT_THAT(Offers("finetune --config=mi"), ElementsAre("mine.pbtxt"));
  EXPECT_THAT(Offers("finetune --resume=au"), ElementsAre("auto"));
  EXPECT_THAT(Offers("finetune config --origins=f"), ElementsAre("false"));
  EXPECT_THAT(Offers("finetune plan --algorithm="), ElementsAre("auto", "ring", "hierarchical"));
  EXPECT_THAT(Offers("finetune diff mi"), ElementsAre("mine.pbtxt"));
  EXPECT_THAT(Offers("finetune completion b"), ElementsAre("bash"));
}

TEST_F(CompletionTest, OffersTheTopicsOfTheHelp) {
  EXPECT_THAT(Offers("finetune help ev"), ElementsAre("evaluate"));
  EXPECT_THAT(Offers("finetune help "), AllOf(Contains("watch"), Contains("optimizer.sgd")));
  EXPECT_THAT(Offers("finetune help optimizer.sgd.l"), ElementsAre("optimizer.sgd.lr"));
  EXPECT_THAT(Offers("finetune help data.train.pipeline[0].resiz"),
              Contains("data.train.pipeline[0].resize"));
  EXPECT_THAT(Offers("finetune --help=optimizer.sg"), Contains("optimizer.sgd"));
  EXPECT_THAT(Offers("finetune evaluate --help=pla"), ElementsAre("plan"));
}

// Some users have removed "=" from the characters at which bash cuts words.
TEST_F(CompletionTest, CompletesWholeWordsWhereBashDoesNotCutThemAtEqualsSigns) {
  EXPECT_THAT(
      Lines(absl::StrCat("cd ", folder_, "; source ./bash; COMP_WORDBREAKS=' '; ",
                         "COMP_LINE='finetune --set=runtime.device=CU'; COMP_POINT=${#COMP_LINE}; ",
                         "_finetune; printf '%s\\n' \"${COMPREPLY[@]}\"")),
      ElementsAre("--set=runtime.device=CUDA"));
}

TEST_F(CompletionTest, IsRegisteredForTheProgram) {
  EXPECT_THAT(Lines(absl::StrCat("source ", folder_, "/bash; complete -p finetune")),
              ElementsAre("complete -F _finetune finetune"));
}

// The test has no zsh, so it checks the specifications that the script passes to zsh's functions.
TEST_F(CompletionTest, ZshKnowsCommandsFlagsAndFields) {
  const std::string script = ZshCompletion(commands_, ValueFields());
  EXPECT_THAT(script, HasSubstr("#compdef finetune\n"));
  EXPECT_THAT(script, HasSubstr("'evaluate:Evaluate a checkpoint on data.val'"));
  EXPECT_THAT(script, HasSubstr("'*--set=[Set a field, as in --set=optimizer.sgd.lr=0.02; "
                                "repeatable]:PATH=VALUE:_finetune_fields'"));
  EXPECT_THAT(script, HasSubstr("'--overwrite[Begin again"));
  EXPECT_THAT(script, HasSubstr("'::TOPIC:_finetune_topics'"));
  EXPECT_THAT(script, HasSubstr("'optimizer.sgd.lr'"));
  EXPECT_THAT(script, HasSubstr("'runtime.device') compadd -- AUTO CPU CUDA ;;"));
  if (std::system("command -v zsh > /dev/null") == 0) {
    EXPECT_THAT(Lines(absl::StrCat("zsh -n ", folder_, "/zsh")), IsEmpty());
  }
}

}  // namespace
}  // namespace finetune
