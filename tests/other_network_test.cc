// Tests that weights are used only in the network in which they were trained. Many settings of a
// network change no tensor's shape, so that the weights load in another network and give wrong
// results.
#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kCaffe[] = " --set=model.backbone.resnet.style=CAFFE ";
constexpr char kDifference[] =
    "its weights were trained in another network: model.backbone.resnet.style: found CAFFE "
    "(--set=model.backbone.resnet.style=CAFFE), expected PYTORCH (not set). In the config's "
    "network "
    "they would give wrong results. Set these fields as expected, or ";

class OtherNetworkTest : public TrainingTest {
 protected:
  // Trains one epoch of three.
  void Train() {
    WriteResNet();
    TrainToEnd(1, "run", "--max_iterations=5");
  }

  std::string Latest() const { return folder_ + "/run/latest.pth"; }

  Outcome Export(const std::string& file, const std::string& flags = "") {
    return Run(absl::StrCat(finetune_, " export --checkpoint=", Latest(), " --to=", folder_, "/",
                            file, " ", flags));
  }
};

TEST_F(OtherNetworkTest, ARunIsNotResumedInAnotherNetwork) {
  Train();
  for (const char* work_dir : {"run", "other"}) {
    const Outcome refused = Run(Mpirun(2, work_dir, absl::StrCat("--resume=", Latest(), kCaffe)));
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    EXPECT_THAT(refused.output,
                HasSubstr(absl::StrCat("cannot resume from ", Latest(), ": ", kDifference,
                                       "start a new run without --resume")));
  }
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/other"));
  // The default may be written out.
  EXPECT_THAT(TrainToEnd(1, "run",
                         "--resume=auto --max_iterations=6 "
                         "--set=model.backbone.resnet.style=PYTORCH"),
              Not(HasSubstr("the config has changed")));
}

TEST_F(OtherNetworkTest, ARunIsResumedWithOtherSettingsOfTheTrainingAndSaysWhich) {
  Train();
  const std::string output = TrainToEnd(
      1, "run",
      "--resume=auto --max_iterations=6 --set=model.head.label_smoothing=0.125 "
      "--set=model.head.dropout=0.25 --set=optimizer.sgd.momentum=0.5 --set=data.train.workers=2");
  EXPECT_THAT(output,
              HasSubstr("the config has changed since the checkpoint was written: "
                        "model.head.label_smoothing is 0.125 "
                        "(--set=model.head.label_smoothing=0.125) and was 0 (not set); "
                        "model.head.dropout is 0.25 (--set=model.head.dropout=0.25) and was 0 (not "
                        "set); optimizer.sgd.momentum is 0.5 (--set=optimizer.sgd.momentum=0.5) "
                        "and was 0.9\n"));
  EXPECT_THAT(TrainToEnd(1, "run", "--resume=auto --max_iterations=7"),
              HasSubstr("optimizer.sgd.momentum is 0.9 ("));
}

TEST_F(OtherNetworkTest, CheckpointsAndExportedFilesAnswerInTheirOwnNetworkAlone) {
  Train();
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/a.ppm",
                                  "P6 32 32 255\n" + std::string(size_t{32} * 32 * 3, 'x'))
                  .ok());
  ASSERT_EQ(Export("a.pth").exit_code, 0);
  ASSERT_EQ(Export("a.safetensors").exit_code, 0);
  for (const char* file : {"run/latest.pth", "a.pth", "a.safetensors"}) {
    const std::string checkpoint = absl::StrCat(folder_, "/", file);
    for (const std::string& command : {std::string("evaluate"), "evaluate --config=" + config(),
                                       absl::StrCat("predict ", folder_, "/a.ppm"),
                                       absl::StrCat("export --to=", folder_, "/b.pth"),
                                       absl::StrCat("export --to=", folder_, "/b.onnx")}) {
      const Outcome refused =
          Run(absl::StrCat(finetune_, " ", command, " --checkpoint=", checkpoint, kCaffe));
      EXPECT_EQ(refused.exit_code, 2) << command << ": " << refused.output;
      EXPECT_THAT(refused.output, HasSubstr(absl::StrCat(checkpoint, ": ", kDifference,
                                                         "leave out --config and these --set")));
    }
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/b.pth"));
    EXPECT_EQ(Run(absl::StrCat(finetune_, " predict ", folder_, "/a.ppm --checkpoint=", checkpoint))
                  .exit_code,
              0);
  }
}

// A new run may start from the weights of another network, if its config says so.
TEST_F(OtherNetworkTest, FirstWeightsOfAnotherNetworkAreTakenOnlyIfTheConfigSaysSo) {
  Train();
  ASSERT_EQ(Export("a.safetensors").exit_code, 0);
  for (const char* file : {"run/latest.pth", "a.safetensors"}) {
    const std::string flags = absl::StrCat(
        "--max_iterations=1 --overwrite --set=model.backbone.pretrained.checkpoint=", folder_, "/",
        file);
    EXPECT_THAT(TrainToEnd(1, "new", flags + kCaffe),
                HasSubstr(absl::StrCat("warning ", folder_, "/", file,
                                       ": its weights were trained in another network: "
                                       "model.backbone.resnet.style: found CAFFE")));
    EXPECT_THAT(TrainToEnd(1, "new", flags), Not(HasSubstr("another network")));
  }
  TrainToEnd(1, "caffe", absl::StrCat("--max_iterations=1", kCaffe));
  const Outcome refused =
      Run(Mpirun(2, "new",
                 absl::StrCat("--overwrite --set=model.backbone.pretrained.checkpoint=", folder_,
                              "/caffe/latest.pth")));
  EXPECT_EQ(refused.exit_code, 2) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("model.backbone.resnet.style: found PYTORCH (not set), "
                                        "expected CAFFE. Set these fields as expected, or to"));
}

TEST_F(OtherNetworkTest, ACheckpointWithoutAConfigIsResumed) {
  Train();
  Value::Dict root = *ReadTorchFile(Latest())->dict();
  Value::Dict meta;
  for (const auto& [key, value] : root.entries().front().second.dict()->entries()) {
    if (*key.string() != "cfg") meta.Append(key, value);
  }
  root.entries().front().second = meta;
  const std::string bare = folder_ + "/bare.pth";
  ASSERT_TRUE(WriteTorchFile(bare, root).ok());
  TrainToEnd(1, "new", absl::StrCat("--max_iterations=6 --resume=", bare));
}

TEST_F(OtherNetworkTest, AnExportedFileIsNotResumedAndTheMessageSaysWhatToDo) {
  Train();
  for (const char* file : {"a.pth", "a.safetensors"}) {
    ASSERT_EQ(Export(file).exit_code, 0);
    const Outcome refused = Run(Mpirun(2, "new", absl::StrCat("--resume=", folder_, "/", file)));
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    EXPECT_THAT(
        refused.output,
        AllOf(HasSubstr(absl::StrCat("cannot resume from ", folder_, "/", file,
                                     ": it is a file of `finetune export`, which holds weights "
                                     "alone")),
              HasSubstr("resume from the run's own checkpoint, such as latest.pth in its work_dir"),
              HasSubstr("--set=model.backbone.pretrained.checkpoint=FILE")));
    EXPECT_FALSE(std::filesystem::exists(folder_ + "/new"));
  }
}

}  // namespace
}  // namespace finetune
