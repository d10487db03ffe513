// Tests the checkpoints from which runs and evaluations start, as a user gives them.

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class FirstWeights : public TrainingTest {
 protected:
  // Trains one iteration from the weights that `flags` give, and saves run/latest.pth.
  void TrainFirst(const std::string& flags = "") {
    WriteResNet();
    const Outcome run = Run(Mpirun(1, "run", "--max_iterations=1 " + flags));
    ASSERT_EQ(run.exit_code, 0) << run.output;
  }

  std::string Latest() const { return folder_ + "/run/latest.pth"; }

  Outcome Evaluate(const std::string& checkpoint, const std::string& flags = "") {
    return Run(absl::StrCat(finetune_, " evaluate --config=", config(),
                            " --set=runtime.threads=1 --checkpoint=", checkpoint, " ", flags));
  }

  // Returns the first line of the evaluation, "24 images, loss 1.3959, ...", without the speed.
  std::string Result(const std::string& checkpoint, const std::string& flags = "") {
    const Outcome evaluation = Evaluate(checkpoint, flags);
    EXPECT_EQ(evaluation.exit_code, 0) << evaluation.output;
    const size_t begin = evaluation.output.find("24 images");
    EXPECT_NE(begin, std::string::npos) << evaluation.output;
    return evaluation.output.substr(begin, evaluation.output.find(" (", begin) - begin);
  }
};

TEST_F(FirstWeights, AResumedRunDoesNotReadThePretrainedFile) {
  WriteResNet();
  ASSERT_EQ(Run(Mpirun(1, "source", "--max_iterations=1")).exit_code, 0);
  const std::string pretrained =
      absl::StrCat("--set=model.backbone.pretrained.checkpoint=", folder_, "/pretrained.pth ");
  fs::copy_file(folder_ + "/source/iter_1.pth", folder_ + "/pretrained.pth");
  ASSERT_EQ(Run(Mpirun(2, "run", pretrained + "--max_iterations=2")).exit_code, 0);
  fs::remove(folder_ + "/pretrained.pth");

  // There is nothing to resume in this work_dir.
  const Outcome fresh = Run(Mpirun(2, "fresh", pretrained + "--max_iterations=3 --resume=auto"));
  EXPECT_EQ(fresh.exit_code, 2) << fresh.output;
  const std::string latest = folder_ + "/run/latest.pth";
  for (const std::string& resume : {std::string("auto"), latest}) {
    const Outcome resumed =
        Run(Mpirun(2, "run", pretrained + "--max_iterations=3 --resume=" + resume));
    ASSERT_EQ(resumed.exit_code, 0) << resumed.output;
    EXPECT_THAT(resumed.output, AllOf(HasSubstr("model.backbone.pretrained is not read"),
                                      HasSubstr("resumed from")));
  }
}

TEST_F(FirstWeights, AHeadTrainedOnAFrozenBackboneIsKeptWhenItUnfreezes) {
  WriteResNet("frozen_stages: 4");
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=2")).exit_code, 0);
  const std::string unfreeze = "--set=model.backbone.frozen_stages=-1 ";
  const Outcome resumed = Run(Mpirun(1, "run", unfreeze + "--max_iterations=3 --resume=auto"));
  EXPECT_NE(resumed.exit_code, 0);
  EXPECT_THAT(resumed.output, AllOf(HasSubstr("other parameters were trained in it"),
                                    HasSubstr("--set=model.backbone.pretrained.with_head=true")));

  // With a learning rate of 0 the saved weights are the loaded ones.
  const Outcome started =
      Run(Mpirun(1, "all",
                 absl::StrCat(unfreeze, "--max_iterations=1 --set=optimizer.sgd.lr=0 ",
                              "--set=model.backbone.pretrained.checkpoint=", Latest(),
                              " --set=model.backbone.pretrained.with_head=true")));
  ASSERT_EQ(started.exit_code, 0) << started.output;
  EXPECT_THAT(started.output, HasSubstr("122 tensors matched"));
  const TensorList before = Tensors("run/latest.pth", /*optimizer=*/false);
  const TensorList after = Tensors("all/latest.pth", /*optimizer=*/false);
  ASSERT_EQ(before.size(), after.size());
  int compared = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const std::string& name = before[i].name;
    if (name != "head.fc.weight" && name != "head.fc.bias" && name != "backbone.conv1.weight") {
      continue;
    }
    EXPECT_TRUE(after[i].tensor.equal(before[i].tensor)) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 3);
}

TEST_F(FirstWeights, EvaluateTakesAKeyAndAPrefix) {
  TrainFirst();
  const std::string expected = Result(Latest());
  const absl::StatusOr<StateDict> state = ReadStateDict(Latest());
  ASSERT_TRUE(state.ok()) << state.status();
  TensorList prefixed, zeros;
  for (const NamedTensor& one : state->tensors) {
    prefixed.push_back({"model." + one.name, one.tensor});
    zeros.push_back({one.name, one.tensor.mul(0)});
  }
  Value::Dict root;
  root.Append("state_dict", Value::FromTensors(zeros));
  root.Append("state_dict_ema", Value::FromTensors(prefixed));
  const std::string several = folder_ + "/several.pth";
  ASSERT_TRUE(WriteTorchFile(several, root).ok());

  EXPECT_EQ(Result(several, "--key=state_dict_ema --prefix=model"), expected);
  const Outcome usual = Evaluate(several);
  EXPECT_EQ(usual.exit_code, 0) << usual.output;
  EXPECT_THAT(usual.output, AllOf(HasSubstr("the weights are those in \"state_dict\" (raw)"),
                                  Not(HasSubstr(expected))));
  const Outcome unprefixed = Evaluate(several, "--key=state_dict_ema");
  EXPECT_EQ(unprefixed.exit_code, 2);
  EXPECT_THAT(unprefixed.output, HasSubstr("They fit with --prefix=model.backbone"));
}

// timm makes such checkpoints with in_chans=1. finetune's ResNet takes three channels.
TEST_F(FirstWeights, EvaluateFitsAFirstConvolutionOfOneChannelToGreyImages) {
  TrainFirst();
  StateDict state = *ReadStateDict(Latest());
  for (NamedTensor& one : state.tensors) {
    if (one.name == "backbone.conv1.weight") one.tensor = one.tensor.sum(1, /*keepdim=*/true);
  }
  const std::string grey = folder_ + "/grey.pth";
  ASSERT_TRUE(WriteTorchFile(grey, Value::FromTensors(state.tensors)).ok());
  const std::string grey_images =
      "'--set=data.val.pipeline=[{grayscale {channels: 3}}, {normalize {mean: [128, 128, 128] std: "
      "[64, 64, 64]}}]' ";
  const Outcome refused = Evaluate(grey, grey_images);
  EXPECT_EQ(refused.exit_code, 2) << refused.output;
  EXPECT_THAT(refused.output, AllOf(HasSubstr("--adapt_input_channels fits"),
                                    Not(HasSubstr("model.backbone.pretrained"))));
  EXPECT_EQ(Result(grey, grey_images + "--adapt_input_channels"), Result(Latest(), grey_images));
}

// torchvision and timm write such checkpoints.
TEST_F(FirstWeights, AHeadWithoutClassNamesIsTakenAndTheLogSaysForWhich) {
  TrainFirst();
  const std::string bare = folder_ + "/bare.pth";
  ASSERT_TRUE(WriteTorchFile(bare, Value::FromTensors(ReadStateDict(Latest())->tensors)).ok());
  const Outcome run = Run(Mpirun(
      2, "other",
      absl::StrCat("--max_iterations=1 --set=model.backbone.pretrained.checkpoint=", bare,
                   " --set=model.backbone.pretrained.with_head=true "
                   "'--set=model.backbone.pretrained.allow_missing=[\"backbone.layer9\"]'")));
  EXPECT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("bare.pth: it does not name the classes of its head; output i is "
                              "taken for class i of the training data: \""),
                    HasSubstr("allow_missing: \"backbone.layer9\" has no effect")));
}

TEST_F(FirstWeights, AResumedRunSaysThatItsCheckpointHadDiverged) {
  TrainFirst();
  const Value root = *ReadTorchFile(Latest());
  *root.Get("state_dict")->GetTensor("backbone.conv1.weight")->data_ptr<float>() = 1e38F;
  const std::string huge = folder_ + "/huge.pth";
  ASSERT_TRUE(WriteTorchFile(huge, root).ok());
  const Outcome run = Run(Mpirun(1, "other", "--max_iterations=2 --resume=" + huge));
  EXPECT_THAT(run.output,
              HasSubstr("backbone.conv1.weight has values as large as 1e+38, whose squares float32 "
                        "cannot hold: the run that wrote the checkpoint had diverged"));
}

TEST_F(FirstWeights, ADamagedFileOfEitherFormatEndsWithTheSameCode) {
  TrainFirst();
  const std::string zip = *ReadFile(Latest());
  const std::string legacy = *ReadFile("tests/fixtures/checkpoint/kinds_legacy.pth");
  for (const std::string& whole : {zip, legacy}) {
    const std::string cut = folder_ + "/cut.pth";
    ASSERT_TRUE(WriteFileAtomically(cut, whole.substr(0, whole.size() / 2)).ok());
    const Outcome evaluation = Evaluate(cut);
    EXPECT_EQ(evaluation.exit_code, 1) << evaluation.output;
    EXPECT_THAT(evaluation.output, HasSubstr("cut off"));
  }
}

TEST_F(FirstWeights, AnotherTrainersCheckpointIsNotResumedAndTheWayIsNamed) {
  WriteResNet();
  const Outcome resumed =
      Run(Mpirun(1, "run", "--resume=tests/fixtures/checkpoint/openmmlab_zip.pth"));
  EXPECT_EQ(resumed.exit_code, 2) << resumed.output;
  EXPECT_THAT(resumed.output, AllOf(HasSubstr("it is not a checkpoint of finetune"),
                                    HasSubstr("model.backbone.pretrained.checkpoint")));

  // A pickled module has no weights to start from.
  for (const char* module : {"whole_model.pth", "whole_model_legacy.pth"}) {
    const Outcome whole =
        Run(Mpirun(1, "run", absl::StrCat("--resume=tests/fixtures/checkpoint/", module)));
    EXPECT_EQ(whole.exit_code, 2) << whole.output;
    EXPECT_THAT(whole.output, AllOf(HasSubstr("save model.state_dict() and not the model"),
                                    Not(HasSubstr("with_head"))));
  }
}

TEST_F(FirstWeights, WarnsWhereImagesAreNormalisedOtherwiseThanThePretrainedWeightsImages) {
  TrainFirst();
  const std::string pretrained =
      absl::StrCat("--set=model.backbone.pretrained.checkpoint=", Latest(), " --max_iterations=1");
  const Outcome same = Run(Mpirun(1, "same", pretrained));
  ASSERT_EQ(same.exit_code, 0) << same.output;
  EXPECT_THAT(same.output, Not(HasSubstr("normalised by")));

  const absl::StatusOr<std::string> text = ReadFile(config());
  ASSERT_TRUE(text.ok()) << text.status();
  const std::string own = "normalize { mean: [1, 2, 3] std: [400, 400, 400] }";
  ASSERT_TRUE(
      WriteFileAtomically(config(), absl::StrReplaceAll(*text, {{"normalize {}", own}})).ok());
  const Outcome other = Run(Mpirun(2, "other", pretrained));
  ASSERT_EQ(other.exit_code, 0) << other.output;
  EXPECT_THAT(other.output, AllOf(HasSubstr("data.train.pipeline: images are normalised by mean "
                                            "[1, 2, 3] and std [400, 400, 400]"),
                                  HasSubstr("latest.pth were trained with mean")));
}

}  // namespace
}  // namespace finetune
