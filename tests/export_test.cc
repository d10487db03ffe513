// Tests `finetune export` as a user runs it.
#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ExportTest : public TrainingTest {
 protected:
  void Train() {
    WriteResNet();
    const Outcome run = Run(Mpirun(1, "run"));
    ASSERT_EQ(run.exit_code, 0) << run.output;
  }

  Outcome Export(const std::string& to, const std::string& flags = "") {
    return Run(absl::StrCat(finetune_, " export --checkpoint=", folder_,
                            "/run/latest.pth --to=", folder_, "/", to, " ", flags));
  }

  std::string Bytes(const std::string& name) const {
    return ReadFile(folder_ + "/" + name).value_or("");
  }

  // Returns the names of all files in the test's folder.
  std::set<std::string> Files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_)) names.insert(entry.path().filename());
    return names;
  }
};

TEST_F(ExportTest, WritesOnnxThatSaysItsShapesAndClasses) {
  Train();
  const Outcome outcome = Export("a.onnx", "--with_preprocessing=nhwc --softmax --fold_batch_norm");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output,
              AllOf(HasSubstr("a.onnx: "),
                    HasSubstr("opset 28; input pixels: uint8 [N, 32, 32, 3]; output probabilities: "
                              "float32 [N, 4]")));
  EXPECT_THAT(Bytes("a.onnx"), AllOf(HasSubstr("class_names"), HasSubstr("checkpoint_sha256"),
                                     HasSubstr("backbone.layer4.1.conv2")));
}

TEST_F(ExportTest, ExportedCheckpointHasTheSameWeightsAndPredictsWithoutAConfig) {
  Train();
  const Outcome outcome = Export("a.pth");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  const TensorList before = Tensors("run/latest.pth", /*optimizer=*/false);
  const TensorList after = Tensors("a.pth", /*optimizer=*/false);
  ASSERT_FALSE(before.empty());
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(after[i].name, before[i].name);
    EXPECT_TRUE(after[i].tensor.equal(before[i].tensor)) << after[i].name;
  }
  const Outcome evaluated =
      Run(absl::StrCat(finetune_, " evaluate --checkpoint=", folder_, "/a.pth"));
  EXPECT_EQ(evaluated.exit_code, 0) << evaluated.output;
}

TEST_F(ExportTest, ExportedFilesAnswerWithoutAConfigWhateverTheirWeightsAreCalled) {
  Train();
  const auto first_line = [](const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    const size_t begin = outcome.output.find("24 images, loss ");
    if (begin == std::string::npos) return "none: " + outcome.output;
    return outcome.output.substr(begin, outcome.output.find(" (", begin) - begin);
  };
  const auto evaluate = [&](const std::string& file) {
    return first_line(Run(absl::StrCat(finetune_, " evaluate --checkpoint=", folder_, "/", file)));
  };
  const std::string expected = evaluate("run/latest.pth");
  for (const char* names : {"finetune", "mmpretrain"}) {
    for (const char* ending : {"pth", "safetensors"}) {
      const std::string file = absl::StrCat(names, ".", ending);
      const Outcome exported = Export(file, absl::StrCat("--names=", names));
      ASSERT_EQ(exported.exit_code, 0) << exported.output;
      EXPECT_EQ(evaluate(file), expected) << file;
    }
  }
  // An exported file can be exported again.
  const Outcome again = Run(absl::StrCat(finetune_, " export --checkpoint=", folder_,
                                         "/finetune.safetensors --to=", folder_, "/again.pth"));
  ASSERT_EQ(again.exit_code, 0) << again.output;
  EXPECT_EQ(evaluate("again.pth"), expected);
}

TEST_F(ExportTest, RefusesToReplaceAFileAndLeavesNothingBehind) {
  Train();
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/a.onnx", "mine").ok());
  Outcome outcome = Export("a.onnx");
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("is there already; give another path, or --force"));
  EXPECT_EQ(Bytes("a.onnx"), "mine");
  outcome = Export("run/latest.pth", "--force");
  EXPECT_THAT(outcome.output, HasSubstr("which this command reads; expected another path"));
  outcome = Export("nowhere/a.onnx");
  EXPECT_THAT(outcome.output, HasSubstr("nowhere is not there; create it"));
  outcome = Export("b.pth", "--names=torchvision");
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("--names: found torchvision, which does not have the "
                                        "network of model.backbone { resnet { depth: 18"));
  EXPECT_FALSE(Files().contains("b.pth"));
  for (const std::string& name : Files()) EXPECT_EQ(name.find(".tmp"), std::string::npos) << name;
  outcome = Export("a.onnx", "--force");
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_NE(Bytes("a.onnx"), "mine");
}

}  // namespace
}  // namespace finetune
