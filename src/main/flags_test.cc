#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>

#include "absl/strings/str_split.h"
#include "src/main/command_line.h"
#include "src/main/commands/all.h"
#include "src/main/commands/evaluate.h"
#include "src/main/commands/plan.h"
#include "src/main/commands/train.h"
#include "src/main/local_command.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::SizeIs;

// The result of parsing `arguments`: all commands, and the chosen one.
struct Parsed {
  explicit Parsed(const std::vector<std::string>& arguments)
      : commands(MakeCommands()), command(ParseCommandLine(commands, arguments)) {}

  // Returns the chosen command as a `T`. The test fails where it is not a `T`.
  template <typename T>
  const T& As() {
    static const T none;
    EXPECT_TRUE(command.ok()) << command.status();
    const T* const chosen = command.ok() ? dynamic_cast<T*>(*command) : nullptr;
    EXPECT_NE(chosen, nullptr);
    return chosen == nullptr ? none : *chosen;
  }

  CommandList commands;
  absl::StatusOr<Command*> command;
};

// Returns the output of the chosen command, which must be a LocalCommand.
std::string Output(const std::vector<std::string>& arguments) {
  const Parsed parsed(arguments);
  if (!parsed.command.ok()) return std::string(parsed.command.status().message());
  auto* const command = dynamic_cast<LocalCommand*>(*parsed.command);
  if (command == nullptr) return "it needs ranks";
  std::string output;
  const absl::Status status = command->RunHere({0, nullptr, 0, parsed.commands}, &output);
  EXPECT_TRUE(status.ok()) << status;
  return output;
}

std::string Refusal(const std::vector<std::string>& arguments) {
  const Parsed parsed(arguments);
  EXPECT_TRUE(absl::IsInvalidArgument(parsed.command.status())) << parsed.command.status();
  return std::string(parsed.command.status().message());
}

TEST(Flags, ExportTellsTheFormatByTheEndingAndRefusesFlagsOfAnother) {
  const auto refusal = [](const std::vector<std::string>& flags) {
    std::vector<std::string> arguments = {"export", "--checkpoint=a.pth"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return Refusal(arguments);
  };
  EXPECT_THAT(refusal({}), HasSubstr("--to is not given"));
  EXPECT_THAT(refusal({"--to=model.bin"}),
              HasSubstr("--to: found model.bin; expected a name that ends in .onnx, .safetensors, "
                        ".pth, or a format by --format"));
  EXPECT_THAT(refusal({"--to=a.bin", "--format=tf"}),
              HasSubstr("--format: found \"tf\"; expected one of onnx, safetensors, pth"));
  EXPECT_THAT(refusal({"--to=b.pth", "--softmax"}), HasSubstr("b.pth, which holds weights alone"));
  EXPECT_THAT(refusal({"--to=b.onnx", "--names=timm"}), HasSubstr("leave --names out"));
  EXPECT_THAT(refusal({"--to=b.pth", "--names=keras"}), HasSubstr("--names: found \"keras\""));
  EXPECT_THAT(refusal({"--to=b.pth", "--dtype=int8"}), HasSubstr("--dtype: found \"int8\""));
  EXPECT_THAT(refusal({"--to=b.onnx", "--with_preprocessing=hwc"}),
              HasSubstr("--with_preprocessing: found \"hwc\"; expected nhwc or nchw"));
  EXPECT_TRUE(Parsed({"export", "--checkpoint=a.pth", "--to=b.bin", "--format=onnx"}).command.ok());
}

TEST(Flags, PlanTakesListsWithCommasAndSeveralLinks) {
  Parsed parsed({"plan", "--config=a.pbtxt", "--ranks=8,64", "--link=10Gbit,50us",
                 "--link=infiniband-hdr", "--ranks_per_host=4", "--json"});
  const PlanCommand& plan = parsed.As<PlanCommand>();
  EXPECT_EQ(plan.config().config, "a.pbtxt");
  EXPECT_EQ(plan.flags().ranks, "8,64");
  EXPECT_THAT(plan.flags().links, ElementsAre("10Gbit,50us", "infiniband-hdr"));
  EXPECT_EQ(plan.flags().ranks_per_host, 4);
  EXPECT_TRUE(plan.flags().json);
}

TEST(Flags, PlanNamesTheFlagThatWasMeant) {
  EXPECT_THAT(Refusal({"plan", "--config=a", "--rank=8"}), HasSubstr("did you mean --ranks?"));
  EXPECT_THAT(Refusal({"plam", "--config=a"}), HasSubstr("did you mean plan?"));
  EXPECT_THAT(Refusal({"plan", "--config=a", "--ranks_per_host=0"}), HasSubstr("ranks_per_host"));
  EXPECT_THAT(Refusal({"plan", "--config=a", "--measure=x"}), HasSubstr("measure"));
  EXPECT_THAT(Refusal({"plan", "--ranks=8"}), HasSubstr("--config is not given"));
}

TEST(Flags, WhatIsWrongIsSaidInWords) {
  EXPECT_EQ(Refusal({"--config=a", "--max_iterations=0"}),
            "--max_iterations: expected a whole number of 1 or more, got 0");
  EXPECT_EQ(Refusal({"--config=a", "--config_path=/nowhere"}),
            "--config_path=/nowhere: expected a folder, found nothing");
  EXPECT_EQ(Refusal({"--config=a", "--checkpoint=b"}),
            "--checkpoint: no such flag here; it belongs to evaluate");
  EXPECT_EQ(Refusal({"config", "--config=a", "--origins=x"}),
            "--origins: expected true or false, got x");
}

// Without this check "finetune --config=a evaluate" would train.
TEST(Flags, ACommandAfterFlagsIsRefused) {
  EXPECT_EQ(Refusal({"--config=a", "evaluate", "--checkpoint=b"}),
            "evaluate: the command comes first, as in finetune evaluate --config=F");
}

TEST(Flags, TrainIsTheDefaultCommand) {
  for (const bool named : {false, true}) {
    std::vector<std::string> arguments = {"--config=a", "--set=x=1", "--set=y=[1,2]",
                                          "--overwrite"};
    if (named) arguments.insert(arguments.begin(), "train");
    Parsed parsed(arguments);
    const TrainCommand& train = parsed.As<TrainCommand>();
    EXPECT_EQ(train.config().config, "a");
    EXPECT_THAT(train.config().set, ElementsAre("x=1", "y=[1,2]"));
    EXPECT_TRUE(train.options().overwrite);
    EXPECT_EQ(train.options().max_iterations, 0);
  }
}

TEST(Flags, AValueIsGivenOnce) {
  EXPECT_EQ(Refusal({"--config=a", "--config=b"}), "--config: is given more than once");
  EXPECT_EQ(Refusal({"--config=a", "--work_dir"}),
            "--work_dir: has no value; it is given as --work_dir=VALUE");
}

TEST(Flags, TheReportsFolderIsRequired) {
  EXPECT_EQ(Refusal({"report"}), "WORK_DIR is required; see --help");
  EXPECT_EQ(Refusal({"report", "a", "b"}),
            "b: is not expected here; values follow their flag, as in --flag=value");
}

TEST(Flags, EveryCommandHasHelpWithItsNameAndAnExample) {
  for (const auto& command : MakeCommands()) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{command->name(), "--help"}, {"help", command->name()}}) {
      const std::string help = Output(arguments);
      EXPECT_THAT(help, HasSubstr("Usage: finetune " + command->name()));
      EXPECT_THAT(help, HasSubstr("Example"));
    }
    EXPECT_THAT(Output({"--help"}), HasSubstr("\n  " + command->name() + " "));
  }
  EXPECT_THAT(Output({"--help"}), HasSubstr("Exit codes"));
  EXPECT_EQ(Output({"help"}), Output({"--help"}));
}

// A terminal has 80 or 100 columns and 24 lines.
TEST(Flags, HelpFitsAScreen) {
  std::vector<std::string> helps = {Output({"--help"})};
  for (const auto& command : MakeCommands()) helps.push_back(Output({"help", command->name()}));
  for (const std::string& help : helps) {
    const std::vector<std::string> lines = absl::StrSplit(help, '\n');
    // The last of 25 lines is empty, because the text ends with a line end.
    EXPECT_THAT(lines, SizeIs(Le(25))) << help;
    for (const std::string& line : lines) EXPECT_THAT(line, SizeIs(Le(100)));
  }
}

TEST(Flags, TheVersionIsACommandAndAFlag) {
  EXPECT_THAT(Output({"--version"}), HasSubstr("finetune 0."));
  EXPECT_EQ(Output({"--version"}), Output({"version"}));
}

TEST(Flags, ATildeInAPathMeansHome) {
  setenv("HOME", "/home/me", 1);
  Parsed parsed({"--config=~/a.pbtxt", "--work_dir=~/x", "--resume=~/b.pth", "--trace=~/t.json"});
  const TrainCommand& train = parsed.As<TrainCommand>();
  EXPECT_EQ(train.config().config, "/home/me/a.pbtxt");
  EXPECT_EQ(train.options().work_dir, "/home/me/x");
  EXPECT_EQ(train.options().resume, "/home/me/b.pth");
  EXPECT_EQ(train.trace_path(), "/home/me/t.json");
  EXPECT_EQ(Parsed({"evaluate", "--config=a", "--checkpoint=~/b.pth"})
                .As<EvaluateCommand>()
                .flags()
                .evaluate.checkpoint,
            "/home/me/b.pth");
  EXPECT_THAT(Refusal({"--config=a", "--work_dir=~you/x"}), HasSubstr("--work_dir: ~you/x"));
}

TEST(Flags, EvaluateNeedsACheckpointAndNoConfig) {
  EXPECT_THAT(Refusal({"evaluate", "--config=a"}), HasSubstr("--checkpoint is not given"));
  Parsed parsed({"evaluate", "--checkpoint=b.pth", "--compare=c.pth", "--output=d.json",
                 "--scores=e.npy", "--flip"});
  const EvaluateFlags& flags = parsed.As<EvaluateCommand>().flags();
  EXPECT_EQ(flags.compare, "c.pth");
  EXPECT_EQ(flags.output, "d.json");
  EXPECT_EQ(flags.evaluate.scores, "e.npy");
  EXPECT_TRUE(flags.evaluate.flip);
}

TEST(Flags, FlagsThatContradictEachOtherAreRefused) {
  EXPECT_EQ(Refusal({"--config=a", "--quiet", "--verbose"}),
            "--quiet shows less and --verbose shows more: give one of them");
  EXPECT_EQ(Refusal({"config", "--config=a", "--ranks=8"}),
            "--ranks is for a check: give --check too");
  EXPECT_EQ(Refusal({"help", "plan", "--man=d"}),
            "--man: found the topic plan beside it; it writes the pages of all commands");
  EXPECT_EQ(Refusal({"evaluate", "--checkpoint=a.pth", "--weights=both"}),
            "--weights=both: expected ema or raw");
  EXPECT_EQ(Refusal({"evaluate", "--checkpoint=a.pth", "--weights=ema", "--key=model"}),
            "--weights and --key both choose an entry: give one of them");
  EXPECT_EQ(Refusal({"completion", "fish"}), "SHELL: expected bash or zsh, got fish");
}

// The examples are what a newcomer copies first.
TEST(Flags, EveryExampleIsACorrectCommandLine) {
  for (const auto& command : MakeCommands()) {
    for (const std::string& example : command->examples()) {
      // The arguments that follow the program's name, up to the end of its part of a pipe.
      std::vector<std::string> arguments;
      bool found = false;
      for (const absl::string_view word : absl::StrSplit(example, absl::ByAnyChar(" ()"))) {
        if (found && (word == ">" || word == "|" || word.empty())) break;
        if (found) arguments.emplace_back(word);
        found = found || word == "finetune";
      }
      ASSERT_TRUE(found) << example;
      const Parsed parsed(arguments);
      EXPECT_TRUE(parsed.command.ok()) << example << "\n" << parsed.command.status();
    }
  }
}

TEST(Flags, HelpExplainsFieldsOfAConfig) {
  EXPECT_THAT(Output({"--help=optimizer.sgd"}), HasSubstr("PyTorch's SGD"));
  EXPECT_EQ(Output({"help", "optimizer.sgd"}), Output({"--help=optimizer.sgd"}));
}

TEST(Flags, BeginningAgainAndGoingOnExcludeEachOther) {
  EXPECT_EQ(Refusal({"--config=a", "--overwrite", "--resume=auto"}),
            "--overwrite begins again and --resume goes on: give one of them");
  EXPECT_TRUE(Parsed({"--config=a", "--resume=auto"}).command.ok());
  EXPECT_EQ(Refusal({"--config=a", "--allow_other_data"}),
            "--allow_other_data is for a run that goes on: give --resume too");
  EXPECT_TRUE(Parsed({"--config=a", "--resume=auto", "--allow_other_data"}).command.ok());
}

}  // namespace
}  // namespace finetune
