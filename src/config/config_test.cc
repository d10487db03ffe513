#include "src/config/config.h"

#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/config/print.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

// A folder of configs, new for each test.
class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = EmptyTestFolder();
    fs::create_directory(folder_ + "/_base_");
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(absl::StrCat(folder_, "/", name), text).ok());
  }
  absl::StatusOr<LoadedConfig> Load(const std::string& name,
                                    const std::vector<std::string>& overrides = {}) {
    return LoadConfig(absl::StrCat(folder_, "/", name),
                      {.search_path = {}, .overrides = overrides});
  }
  // Returns the error of a file with this text, with the folder's name removed.
  std::string ErrorOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
    Write("x.pbtxt", text);
    return WithoutFolder(Load("x.pbtxt", overrides).status().message());
  }
  std::string WithoutFolder(absl::string_view message) {
    return absl::StrReplaceAll(message, {{folder_ + "/", ""}});
  }

  std::string folder_;
};

TEST_F(ConfigTest, OwnFieldsGoOverImportsFieldByField) {
  Write("_base_/a.pbtxt", "optimizer { sgd { lr: 0.1 momentum: 0.9 } }");
  Write("x.pbtxt", "import: \"_base_/a.pbtxt\"\noptimizer { sgd { lr: 0.01 } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.optimizer().sgd().lr(), 0.01);
  EXPECT_EQ(loaded->config.optimizer().sgd().momentum(), 0.9);
  EXPECT_EQ(loaded->config.import_size(), 0);
  EXPECT_EQ(loaded->config.name(), "x");
}

TEST_F(ConfigTest, RepeatedFieldsAreReplacedAsAWhole) {
  Write("_base_/a.pbtxt", "schedule { multi_step { milestones: [100, 150] } }");
  Write("x.pbtxt", "import: \"_base_/a.pbtxt\"\nschedule { multi_step { milestones: 15 } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->config.schedule().multi_step().milestones(), testing::ElementsAre(15));
}

// A protobuf message does not distinguish an empty list from a list that is not set.
TEST_F(ConfigTest, AnEmptyListReplacesAnInheritedOne) {
  Write("_base_/a.pbtxt",
        "schedule { multi_step { milestones: [100, 150] } }\nmodel { head { topk: [1, 5] } }\n"
        "data { train { pipeline { resize { size: 8 } } pipeline { random_flip {} } } }");
  Write("x.pbtxt",
        "import: \"_base_/a.pbtxt\"\nschedule { multi_step { milestones: [] } }\n"
        "model { head { topk: [] } }\ndata { train { pipeline: [] } }");
  Write("y.pbtxt", "import: \"_base_/a.pbtxt\"");
  for (const auto& loaded :
       {Load("x.pbtxt"), Load("y.pbtxt", {"schedule.multi_step.milestones=[]", "model.head.topk=[]",
                                          "data.train.pipeline=[]"})}) {
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    EXPECT_EQ(loaded->config.schedule().multi_step().milestones_size(), 0);
    EXPECT_EQ(loaded->config.model().head().topk_size(), 0);
    EXPECT_EQ(loaded->config.data().train().pipeline_size(), 0);
    EXPECT_FALSE(loaded->origins.contains("model.head.topk[0]"));
    EXPECT_FALSE(loaded->origins.contains("data.train.pipeline[0].resize.size"));
  }
  EXPECT_EQ(WithoutFolder(Load("x.pbtxt")->PlaceOf("model.head.topk")), "x.pbtxt:3:16");
  EXPECT_EQ(Load("y.pbtxt", {"model.head.topk=[]"})->PlaceOf("model.head.topk"),
            "--set=model.head.topk=[]");
}

TEST_F(ConfigTest, AnEmptyListInAnElementOfAListIsTaken) {
  Write("x.pbtxt", "data { train { pipeline { normalize { mean: [1, 2, 3] } } } }");
  const auto loaded = Load("x.pbtxt", {"data.train.pipeline[0].normalize.mean=[]"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.data().train().pipeline(0).normalize().mean_size(), 0);
}

TEST_F(ConfigTest, ThePrintedConfigKeepsAnEmptyList) {
  Write("x.pbtxt", "model { head { topk: [1, 5] } }");
  const auto loaded = Load("x.pbtxt", {"model.head.topk=[]"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(PrintConfig(*loaded, false), "name: \"x\"\nmodel {\n  head {\n    topk: []\n  }\n}\n");
  EXPECT_THAT(PrintConfig(*loaded, true),
              testing::HasSubstr("topk: []  # --set=model.head.topk=[]"));
  // The printed config also clears a list that it inherits.
  Write("_base_/a.pbtxt", "model { head { topk: [1, 5] } }");
  Write("printed.pbtxt", absl::StrCat("import: \"_base_/a.pbtxt\"\n", PrintConfig(*loaded, false)));
  EXPECT_EQ(Load("printed.pbtxt")->config.model().head().topk_size(), 0);
}

TEST_F(ConfigTest, AnEmptyListIsAValueForConflictsAndResets) {
  Write("_base_/a.pbtxt", "model { head { topk: [] } }");
  Write("_base_/b.pbtxt", "model { head { topk: [1] } }");
  EXPECT_EQ(ErrorOf("import: \"_base_/a.pbtxt\"\nimport: \"_base_/b.pbtxt\""),
            "_base_/b.pbtxt:1:16: model.head.topk: is [1] here and [] in _base_/a.pbtxt:1:16, both "
            "imported by the same file; set it there, or reset it");
  EXPECT_EQ(ErrorOf("import: \"_base_/a.pbtxt\"\nreset: \"model.head.topk\""), "");
  EXPECT_EQ(PrintConfig(*Load("x.pbtxt"), false), "name: \"x\"\nmodel {\n  head {}\n}\n");
}

TEST_F(ConfigTest, AnotherMemberOfAOneofDropsTheInheritedOne) {
  Write("_base_/a.pbtxt", "schedule { multi_step { milestones: 100 gamma: 0.5 } }");
  Write("x.pbtxt", "import: \"_base_/a.pbtxt\"\nschedule { cosine { min_lr: 0.1 } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->config.schedule().has_cosine());
  EXPECT_FALSE(loaded->origins.contains("schedule.multi_step.gamma"));
}

TEST_F(ConfigTest, ResetDropsAnInheritedSubtreeBeforeOwnFieldsApply) {
  Write("_base_/a.pbtxt", "optimizer { sgd { lr: 0.1 momentum: 0.9 } }");
  Write("x.pbtxt",
        "import: \"_base_/a.pbtxt\"\nreset: \"optimizer.sgd\"\noptimizer { sgd { lr: 0.01 } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_FALSE(loaded->config.optimizer().sgd().has_momentum());
}

TEST_F(ConfigTest, ZeroIsSetNotAbsent) {
  Write("_base_/a.pbtxt", "optimizer { sgd { lr: 0.1 } }");
  Write("x.pbtxt", "import: \"_base_/a.pbtxt\"\noptimizer { sgd { lr: 0 } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_TRUE(loaded->config.optimizer().sgd().has_lr());
  EXPECT_EQ(loaded->config.optimizer().sgd().lr(), 0);
}

TEST_F(ConfigTest, ADiamondIsNoConflict) {
  Write("_base_/root.pbtxt", "runtime { seed: 3 }");
  Write("_base_/a.pbtxt", "import: \"root.pbtxt\"");
  Write("_base_/b.pbtxt", "import: \"root.pbtxt\"");
  Write("x.pbtxt", "import: \"_base_/a.pbtxt\"\nimport: \"_base_/b.pbtxt\"");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.runtime().seed(), 3u);
}

TEST_F(ConfigTest, SiblingsThatDisagreeAreAnErrorThatNamesBothPlaces) {
  Write("_base_/a.pbtxt", "runtime { seed: 3 }");
  Write("_base_/b.pbtxt", "runtime {\n  seed: 4\n}");
  EXPECT_EQ(ErrorOf("import: \"_base_/a.pbtxt\"\nimport: \"_base_/b.pbtxt\""),
            "_base_/b.pbtxt:2:3: runtime.seed: is 4 here and 3 in _base_/a.pbtxt:1:11, both "
            "imported by the same file; "
            "set it there, or reset it");
  // The conflict is resolved if the importing file sets the field itself.
  Write("y.pbtxt", "import: \"_base_/a.pbtxt\"\nimport: \"_base_/b.pbtxt\"\nruntime { seed: 5 }");
  const auto settled = Load("y.pbtxt");
  ASSERT_TRUE(settled.ok()) << settled.status();
  EXPECT_EQ(settled->config.runtime().seed(), 5u);
}

TEST_F(ConfigTest, ACycleShowsTheChain) {
  Write("_base_/a.pbtxt", "import: \"../x.pbtxt\"");
  EXPECT_EQ(ErrorOf("import: \"_base_/a.pbtxt\""),
            "_base_/a.pbtxt:1:1: import: a cycle: x.pbtxt -> _base_/a.pbtxt -> x.pbtxt");
}

TEST_F(ConfigTest, TheSearchPathIsTriedAfterTheImportersFolder) {
  Write("_base_/a.pbtxt", "runtime { seed: 3 }");
  fs::create_directories(folder_ + "/elsewhere");
  Write("elsewhere/x.pbtxt", "import: \"_base_/a.pbtxt\"");
  const auto loaded = LoadConfig("elsewhere/x.pbtxt", {.search_path = {folder_}, .overrides = {}});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->config.runtime().seed(), 3u);
}

TEST_F(ConfigTest, EveryValueKnowsWhereItCameFrom) {
  Write("_base_/a.pbtxt", "runtime {\n  seed: 3\n}");
  Write("x.pbtxt", "import: \"_base_/a.pbtxt\"\noptimizer { sgd {\n  lr: 0.1 } }");
  const auto loaded = Load("x.pbtxt", {"optimizer.sgd.momentum=0.5"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(WithoutFolder(loaded->PlaceOf("runtime.seed")), "_base_/a.pbtxt:2:3");
  EXPECT_EQ(WithoutFolder(loaded->PlaceOf("optimizer.sgd.lr")), "x.pbtxt:3:3");
  EXPECT_EQ(loaded->PlaceOf("optimizer.sgd.momentum"), "--set=optimizer.sgd.momentum=0.5");
  EXPECT_THAT(loaded->origins.at("runtime.seed").imported_by,
              testing::ElementsAre(folder_ + "/x.pbtxt"));
  // For a field that was not written, the place is that of the nearest enclosing message that was.
  EXPECT_EQ(WithoutFolder(loaded->PlaceOf("optimizer.sgd.nesterov")), "x.pbtxt:2:13");
}

TEST_F(ConfigTest, OverridesReachEveryKindOfField) {
  Write("x.pbtxt",
        "data { train { pipeline { random_crop { size: 32 } } pipeline { random_flip {} } } }\n"
        "schedule { multi_step { milestones: 5 } }");
  const auto loaded =
      Load("x.pbtxt", {"optimizer.sgd.lr=0.02", "schedule.multi_step.milestones=[10, 15]",
                       "runtime.device=CPU", "runtime.work_dir=some where",
                       "data.train.pipeline[0].random_crop.size=28", "schedule.max_epochs=3",
                       "runtime.tensorboard=false", "model.neck={kind: NONE}"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const ExperimentConfig& config = loaded->config;
  EXPECT_EQ(config.optimizer().sgd().lr(), 0.02);
  EXPECT_THAT(config.schedule().multi_step().milestones(), testing::ElementsAre(10, 15));
  EXPECT_EQ(config.runtime().device(), RuntimeConfig::CPU);
  EXPECT_EQ(config.runtime().work_dir(), "some where");
  EXPECT_EQ(config.data().train().pipeline(0).random_crop().size(), 28);
  EXPECT_EQ(config.schedule().max_epochs(), 3);
  EXPECT_FALSE(config.runtime().tensorboard());
  EXPECT_EQ(config.model().neck().kind(), NeckConfig::NONE);
}

TEST_F(ConfigTest, AnOverrideOfAnotherMemberDropsTheFirst) {
  Write("x.pbtxt", "schedule { max_epochs: 3 }");
  const auto loaded = Load("x.pbtxt", {"schedule.max_iterations=7"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_FALSE(loaded->config.schedule().has_max_epochs());
  EXPECT_EQ(loaded->config.schedule().max_iterations(), 7);
}

TEST_F(ConfigTest, SyntaxErrorsNameThePlaceAndTheNearestName) {
  EXPECT_EQ(
      ErrorOf("model {\n  backbone {\n    frozen_stage: 2\n  }\n}"),
      "x.pbtxt:3:5: frozen_stage: no such field in BackboneConfig; did you mean frozen_stages?");
  EXPECT_EQ(ErrorOf("nesterov: true"),
            "x.pbtxt:1:1: nesterov: no such field in ExperimentConfig; it belongs to "
            "optimizer.sgd.nesterov or optimizer.lars.nesterov");
  EXPECT_EQ(ErrorOf("model { neck { kind: GLOBAL_AVERAGE_POOL } }"),
            "x.pbtxt:1:22: kind: no such value GLOBAL_AVERAGE_POOL; did you mean "
            "GLOBAL_AVERAGE_POOLING?");
  EXPECT_EQ(ErrorOf("model { backbone { frozen_stages: two } }"),
            "x.pbtxt:1:35: frozen_stages: expected a whole number, got two");
  EXPECT_EQ(ErrorOf("model {"), "x.pbtxt:1:7: model: its { is not closed");
}

TEST_F(ConfigTest, AllErrorsOfAFileAreReported) {
  EXPECT_EQ(ErrorOf("optimizer { sgd { lrr: 1 } }\nruntime { sed: 1 }"),
            "x.pbtxt:1:19: lrr: no such field in SgdConfig; did you mean lr?\n"
            "x.pbtxt:2:11: sed: no such field in RuntimeConfig; did you mean seed?");
}

TEST_F(ConfigTest, WhatIsWrongWithImportsIsReportedWithTheRest) {
  Write("_base_/a.pbtxt", "runtime { sed: 1 }");
  EXPECT_EQ(ErrorOf("import: \"_base_/a.pbtxt\"\nimport: \"_base_/b.pbtxt\"\nname: 3"),
            "x.pbtxt:3:7: name: expected text in quotes, got 3\n"
            "_base_/a.pbtxt:1:11: sed: no such field in RuntimeConfig; did you mean seed?\n"
            "x.pbtxt:2:1: import: no config _base_/b.pbtxt; looked for _base_/b.pbtxt; did you "
            "mean a.pbtxt?; folders to look in: --config_path or FINETUNE_CONFIG_PATH");
}

TEST_F(ConfigTest, EveryElementOfAListHasItsPlace) {
  EXPECT_EQ(ErrorOf("model {\n  head { topk: [1, 5] }\n}"), "");
  const auto loaded = Load("x.pbtxt");
  EXPECT_EQ(WithoutFolder(loaded->PlaceOf("model.head.topk[0]")), "x.pbtxt:2:10");
  EXPECT_EQ(WithoutFolder(loaded->PlaceOf("model.head.topk[1]")), "x.pbtxt:2:10");
}

TEST_F(ConfigTest, TextFromOtherEditorsIsTaken) {
  EXPECT_EQ(ErrorOf("\xef\xbb\xbfname: \"a\"\r\nruntime { seed: 3 }\r\n"), "");
  EXPECT_EQ(Load("x.pbtxt")->config.runtime().seed(), 3u);
}

TEST_F(ConfigTest, FilesThatAreNoConfigsAreCalledWhatTheyAre) {
  EXPECT_EQ(ErrorOf(std::string("\x7f"
                                "ELF\0\0",
                                6)),
            "x.pbtxt: found binary data; expected a config in text format (.pbtxt)");
  EXPECT_EQ(WithoutFolder(Load("_base_").status().message()),
            "no config _base_; looked for _base_ (a folder); folders to look in: --config_path or "
            "FINETUNE_CONFIG_PATH");
  Write("x.pbtxt", std::string(2 << 20, '#'));
  const auto large = Load("x.pbtxt");
  EXPECT_TRUE(absl::IsInvalidArgument(large.status())) << large.status();
}

TEST_F(ConfigTest, ImportsThatFailNameTheImport) {
  Write("_base_/resnet50.pbtxt", "");
  EXPECT_EQ(ErrorOf("import: \"_base_/resnet5.pbtxt\""),
            "x.pbtxt:1:1: import: no config _base_/resnet5.pbtxt; looked for _base_/resnet5.pbtxt; "
            "did you mean "
            "resnet50.pbtxt?; folders to look in: --config_path or FINETUNE_CONFIG_PATH");
  EXPECT_EQ(ErrorOf("reset: \"model.nek\""),
            "x.pbtxt:1:1: reset: model.nek: no such field in ModelConfig; did you mean neck?");
  EXPECT_EQ(ErrorOf("reset: \"model.neck\""),
            "x.pbtxt:1:1: reset: model.neck: nothing to drop: no import sets it");
}

TEST_F(ConfigTest, OverridesThatFailNameTheOverride) {
  EXPECT_EQ(
      ErrorOf("", {"optimizer.sgd.lrr=1"}),
      "--set=optimizer.sgd.lrr=1: optimizer.sgd.lrr: no such field in SgdConfig; did you mean lr?");
  EXPECT_EQ(ErrorOf("", {"optimizer.sgd.lr"}),
            "--set=optimizer.sgd.lr: expected PATH=VALUE, as in --set=optimizer.sgd.lr=0.02");
  EXPECT_EQ(ErrorOf("", {"runtime.seed=x"}),
            "--set=runtime.seed=x: runtime.seed: expected a whole number, got x");
  EXPECT_EQ(ErrorOf("", {"runtime.device=GPU"}),
            "--set=runtime.device=GPU: runtime.device: no such value GPU; did you mean CPU?");
  EXPECT_EQ(
      ErrorOf("", {"data.train.pipeline[0].resize.size=8"}),
      "--set=data.train.pipeline[0].resize.size=8: data.train.pipeline: is an empty list; set "
      "it as a whole");
  EXPECT_EQ(ErrorOf("data { train { pipeline {} pipeline {} } }",
                    {"data.train.pipeline[2].resize.size=8"}),
            "--set=data.train.pipeline[2].resize.size=8: data.train.pipeline[2]: the list has 2 "
            "elements, data.train.pipeline[0] to data.train.pipeline[1]");
  EXPECT_EQ(ErrorOf("data { train { pipeline {} } }", {"data.train.pipeline[1].resize.size=8"}),
            "--set=data.train.pipeline[1].resize.size=8: data.train.pipeline[1]: the list has 1 "
            "element, data.train.pipeline[0]");
  EXPECT_EQ(ErrorOf("data { train { pipeline {} } }", {"data.train.pipeline.resize.size=8"}),
            "--set=data.train.pipeline.resize.size=8: data.train.pipeline: is a list; give one of "
            "data.train.pipeline[0]");
  for (const std::string index : {"[01]", "[+1]", "[-1]", "[x]", "[]"}) {
    EXPECT_THAT(ErrorOf("data { train { pipeline {} pipeline {} } }",
                        {absl::StrCat("data.train.pipeline", index, ".resize.size=8")}),
                testing::EndsWith(absl::StrCat("pipeline", index, ": an index is [0], [1], ...")));
  }
  EXPECT_EQ(ErrorOf("", {"schedule.multi_step.milestones=5,7"}),
            "--set=schedule.multi_step.milestones=5,7: schedule.multi_step.milestones: a list is "
            "written in brackets: schedule.multi_step.milestones=[5,7]");
  EXPECT_EQ(ErrorOf("", {"schedule.cosine={min_lr: x}"}),
            "--set=schedule.cosine={min_lr: x}: schedule.cosine: min_lr: expected a number, got x");
  EXPECT_EQ(ErrorOf("", {"=5"}), "--set==5: \"\": expected a path such as optimizer.sgd.lr");
  EXPECT_EQ(ErrorOf("", {"runtime.seed.x=1"}),
            "--set=runtime.seed.x=1: runtime.seed: is a single value and has no field x");
}

TEST_F(ConfigTest, NumbersWithALeadingZeroAreRefused) {
  EXPECT_EQ(ErrorOf("runtime { seed: 010 }"),
            "x.pbtxt:1:17: seed: is 010; a leading 0 would make it octal: write 10");
  EXPECT_EQ(ErrorOf("", {"runtime.seed=010"}),
            "--set=runtime.seed=010: runtime.seed: is 010; a leading 0 would make it octal: write "
            "10");
  EXPECT_EQ(Load("x.pbtxt", {"runtime.seed=0x1F"})->config.runtime().seed(), 31u);
  EXPECT_EQ(ErrorOf("", {"optimizer.sgd.lr=01.5"}),
            "--set=optimizer.sgd.lr=01.5: optimizer.sgd.lr: is 01.5; a leading 0 would make it "
            "octal: write 1.5");
  EXPECT_EQ(ErrorOf("", {"optimizer.sgd.lr=0x1F"}),
            "--set=optimizer.sgd.lr=0x1F: optimizer.sgd.lr: is 0x1F; expected a decimal number");
}

TEST_F(ConfigTest, PlacesStayOnOneLine) {
  Write("_base_/odd\nname.pbtxt", "runtime { threads: 3 }");
  EXPECT_EQ(
      ErrorOf("import: \"_base_/odd\\nname.pbtxt\"",
              {"schedule.cosine={\n  min_lr: x\n}", "runtime={\n  sed: 1\n}"}),
      "--set=schedule.cosine={\\n  min_lr: x\\n}: schedule.cosine: min_lr: expected a number, "
      "got x\n"
      "--set=runtime={\\n  sed: 1\\n}: runtime: sed: no such field in RuntimeConfig; did you "
      "mean seed?");
  const auto loaded =
      Load("x.pbtxt", {"schedule.cosine={\n  min_lr: 0.001\n}", "runtime.work_dir=a\nb"});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const std::string text = PrintConfig(*loaded, /*with_origins=*/true);
  EXPECT_EQ(WithoutFolder(text),
            "name: \"x\"\n"
            "schedule {\n"
            "  cosine {\n"
            "    min_lr: 0.001  # --set=schedule.cosine={\\n  min_lr: 0.001\\n}\n"
            "  }\n"
            "}\n"
            "runtime {\n"
            "  threads: 3  # _base_/odd\\nname.pbtxt:1\n"
            "  work_dir: \"a\\nb\"  # --set=runtime.work_dir=a\\nb\n"
            "}\n");
  Write("again.pbtxt", text);
  const auto again = Load("again.pbtxt");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(PrintConfig(*again, false), PrintConfig(*loaded, false));
}

TEST_F(ConfigTest, PrintedConfigsPlacesAndErrorsHideTheSecretsOfUrls) {
  Write("x.pbtxt",
        "model { backbone { pretrained { checkpoint: 'https://me:word@a/x?token=word' } } }");
  const std::string field = "model.backbone.pretrained.checkpoint";
  const auto in_file = Load("x.pbtxt");
  ASSERT_TRUE(in_file.ok()) << in_file.status();
  EXPECT_THAT(PrintConfig(*in_file, /*with_origins=*/false),
              testing::HasSubstr("checkpoint: \"https://***@a/x?***\"\n"));
  // The run itself gets the whole URL.
  EXPECT_EQ(in_file->config.model().backbone().pretrained().checkpoint(),
            "https://me:word@a/x?token=word");

  const auto in_flag = Load("x.pbtxt", {field + "=http://me:word@b/y"});
  ASSERT_TRUE(in_flag.ok()) << in_flag.status();
  EXPECT_EQ(in_flag->config.model().backbone().pretrained().checkpoint(), "http://me:word@b/y");
  const std::string text = PrintConfig(*in_flag, /*with_origins=*/true);
  EXPECT_THAT(text, testing::HasSubstr("checkpoint: \"http://***@b/y\"  # --set=" + field +
                                       "=http://***@b/y\n"));
  Write("again.pbtxt", text);
  const auto again = Load("again.pbtxt");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(PrintConfig(*again, false), PrintConfig(*in_flag, false));

  EXPECT_THAT(
      ErrorOf("", {"runtime.seed=http://me:word@b/y"}),
      testing::AllOf(testing::HasSubstr("--set=runtime.seed=http://***@b/y: runtime.seed: "),
                     testing::Not(testing::HasSubstr("word"))));
}

TEST_F(ConfigTest, ThePrintedConfigLoadsToTheSameValues) {
  Write("_base_/a.pbtxt",
        "runtime { seed: 3 work_dir: \"a \\\"b\\\"\" }\nschedule { constant {} }");
  Write("x.pbtxt",
        "import: \"_base_/a.pbtxt\"\ndata { train { pipeline { resize { size: 8 } } pipeline { "
        "normalize {} } } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  for (const bool origins : {false, true}) {
    const std::string text = PrintConfig(*loaded, origins);
    Write("again.pbtxt", text);
    const auto again = Load("again.pbtxt");
    ASSERT_TRUE(again.ok()) << again.status() << "\n" << text;
    EXPECT_EQ(ConfigHash(again->config), ConfigHash(loaded->config)) << text;
    EXPECT_EQ(absl::StrContains(text, "_base_/a.pbtxt:1"), origins) << text;
  }
}

TEST_F(ConfigTest, TheHashDependsOnEveryValue) {
  Write("x.pbtxt", "runtime { seed: 3 }");
  EXPECT_NE(ConfigHash(Load("x.pbtxt")->config),
            ConfigHash(Load("x.pbtxt", {"runtime.seed=4"})->config));
}

// Every shipped config loads. With random bytes replaced it is refused with an error, or it loads
// and prints to a config with the same values.
TEST_F(ConfigTest, ShippedConfigsLoadAndDamagedOnesAreRefusedOrReprinted) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator("configs")) {
    if (entry.path().extension() != ".pbtxt") continue;
    ++count;
    const auto loaded = LoadConfig(entry.path().string(), {});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const std::string text = PrintConfig(*loaded, false);
    uint32_t state = 12345;
    for (int i = 0; i < 200; ++i) {
      std::string damaged = text;
      for (int k = 0; k < 3; ++k) {
        state = state * 1664525 + 1013904223;
        damaged[(state >> 8) % damaged.size()] = static_cast<char>(state >> 24);
      }
      Write("damaged.pbtxt", damaged);
      const auto result = Load("damaged.pbtxt");
      if (!result.ok()) {
        EXPECT_FALSE(result.status().message().empty());
        continue;
      }
      Write("again.pbtxt", PrintConfig(*result, true));
      const auto again = Load("again.pbtxt");
      ASSERT_TRUE(again.ok()) << again.status();
      ASSERT_EQ(ConfigHash(again->config), ConfigHash(result->config));
    }
  }
  EXPECT_GE(count, 4);
}

TEST_F(ConfigTest, TextOfAPrintedConfigLoadsToTheSameValues) {
  Write("x.pbtxt", "name: \"mine\" optimizer { sgd { lr: 0.1 momentum: 0.9 } }");
  const auto loaded = Load("x.pbtxt");
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  const auto again = LoadConfigText(PrintConfig(*loaded, /*with_origins=*/false), "best.pth",
                                    {"optimizer.sgd.lr=0.2"});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->config.name(), "mine");
  EXPECT_EQ(again->config.optimizer().sgd().lr(), 0.2);
  EXPECT_EQ(again->config.optimizer().sgd().momentum(), 0.9);
  EXPECT_EQ(again->PlaceOf("optimizer.sgd.momentum"), "best.pth:5:5");
}

TEST_F(ConfigTest, TextMayNotReadOtherFiles) {
  Write("a.pbtxt", "optimizer { sgd { lr: 0.1 } }");
  const auto loaded =
      LoadConfigText(absl::StrCat("import: \"", folder_, "/a.pbtxt\""), "best.pth", {});
  EXPECT_TRUE(absl::IsInvalidArgument(loaded.status()));
  EXPECT_TRUE(absl::StrContains(loaded.status().message(), "best.pth: found imports or resets"))
      << loaded.status();
  for (const std::string& bad :
       {std::string("a\0b", 3), std::string("no_such_field: 1"), std::string((1 << 20) + 1, ' ')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(LoadConfigText(bad, "best.pth", {}).status()));
  }
}

// Returns a line for each value of the config that was read.
std::vector<std::string> ListValues(const LoadedConfig& loaded) {
  std::vector<std::string> lines;
  for (const auto& [path, value] : ConfigValues(loaded.config, loaded.origins)) {
    if (loaded.origins.contains(path)) lines.push_back(absl::StrCat(path, "=", value));
  }
  return lines;
}

class ValueErrors : public ConfigTest {
 protected:
  std::string Errors(const std::string& text, const std::vector<std::string>& overrides = {}) {
    Write("x.pbtxt", text);
    const auto loaded =
        LoadConfig(folder_ + "/x.pbtxt", {{}, overrides, /*find_value_errors=*/ListValues});
    return WithoutFolder(loaded.status().message());
  }
};

TEST_F(ValueErrors, FollowTheErrorsOfTheTextAndSeeEveryValueWithoutAnError) {
  Write("_base_/a.pbtxt", "optimizer { sgd { lr: 0.1 } }");
  EXPECT_EQ(Errors("import: \"_base_/a.pbtxt\"\n"
                   "runtime { sed: 1 threads: 2 engine: JIT }\nname: \"n\"",
                   {"schedule.max_epochs=3"}),
            "x.pbtxt:2:11: sed: no such field in RuntimeConfig; did you mean seed?\n"
            "x.pbtxt:2:37: engine: no such value JIT; the values are FUSED, PLAIN\n"
            "name=\"n\"\n"
            "optimizer.sgd.lr=0.1\n"
            "runtime.threads=2\n"
            "schedule.max_epochs=3");
}

TEST_F(ValueErrors, SeeNothingWhereBracketsOrQuotesAreWrong) {
  EXPECT_EQ(Errors("runtime { seed: 1"), "x.pbtxt:1:9: runtime: its { is not closed");
  Write("_base_/a.pbtxt", "name: \"n");
  EXPECT_EQ(Errors("import: \"_base_/a.pbtxt\"\nruntime { sed: 1 }"),
            "x.pbtxt:2:11: sed: no such field in RuntimeConfig; did you mean seed?\n"
            "_base_/a.pbtxt:1:9: text in quotes is not closed");
}

TEST_F(ValueErrors, AreNotAskedForInAConfigWithoutErrors) {
  EXPECT_EQ(Errors("runtime { seed: 1 }"), "");
}

TEST_F(ValueErrors, DoNotSeeAValueThatAWrongOverrideWasToReplace) {
  EXPECT_EQ(Errors("optimizer { sgd { lr: -1 momentum: 0.9 } }", {"optimizer.sgd.lr=fast"}),
            "--set=optimizer.sgd.lr=fast: optimizer.sgd.lr: expected a number, got fast\n"
            "optimizer.sgd.momentum=0.9");
}

TEST_F(ConfigTest, OverridesAreReportedWithTheErrorsOfTheFile) {
  EXPECT_EQ(ErrorOf("runtime { sed: 1 }", {"runtime.thread=2"}),
            "x.pbtxt:1:11: sed: no such field in RuntimeConfig; did you mean seed?\n"
            "--set=runtime.thread=2: runtime.thread: no such field in RuntimeConfig; did you mean "
            "threads?");
  // The file's list is unknown, so the override may be right.
  EXPECT_EQ(
      ErrorOf("data { train { pipelin { resize {} } } }", {"data.train.pipeline[0].resize.size=8"}),
      "x.pbtxt:1:16: pipelin: no such field in SplitConfig; did you mean pipeline?");
}

TEST_F(ConfigTest, AResetOfAMissingImportIsNotAMistake) {
  EXPECT_EQ(ErrorOf("import: \"_base_/b.pbtxt\"\nreset: \"model.neck\"\nreset: \"model.nek\""),
            "x.pbtxt:1:1: import: no config _base_/b.pbtxt; looked for _base_/b.pbtxt; folders to "
            "look in: --config_path or FINETUNE_CONFIG_PATH\n"
            "x.pbtxt:3:1: reset: model.nek: no such field in ModelConfig; did you mean neck?");
}

}  // namespace
}  // namespace finetune
