// Tests runs and evaluations on data that were prepared separately: with other statistics, class
// numbers or shapes than the checkpoint's data, or another data set altogether.

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "src/data/builder.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kClasses[] = "abc";

// Returns the class of image i: 'a', 'b' or 'c'.
char ClassOf(int i) { return kClasses[i * i % 7 % 3]; }

// Returns the pixels of image i. Each class has its own brightness with a pattern over it.
std::vector<uint8_t> PixelsOf(int i, int side, int channels) {
  std::vector<uint8_t> pixels(static_cast<size_t>(side) * side * channels);
  const int brightness = 40 + 70 * (ClassOf(i) - 'a');
  for (size_t at = 0; at < pixels.size(); ++at) {
    pixels[at] = static_cast<uint8_t>(brightness + (at * 7 + static_cast<size_t>(i) * 13) % 40);
  }
  return pixels;
}

struct Split {
  std::string name;
  std::vector<int> images;
};

std::vector<int> Range(int begin, int end) {
  std::vector<int> range;
  for (int i = begin; i < end; ++i) range.push_back(i);
  return range;
}

class OtherDataTest : public TrainingTest {
 protected:
  // `names`: the classes in the order of labels. The first character of a name identifies the
  // class.
  void Prepare(const std::string& name, const std::vector<std::string>& names,
               const std::vector<Split>& splits, int side = 32, int channels = 3) {
    DatasetBuilder::Options options;
    options.folder = absl::StrCat(folder_, "/", name);
    options.force = true;
    options.shards = 2;
    options.name = name;
    options.class_names = names;
    options.height = options.width = side;
    options.channels = channels;
    auto builder = DatasetBuilder::Create(options);
    ASSERT_TRUE(builder.ok()) << builder.status();
    for (const Split& split : splits) {
      ASSERT_TRUE(builder->BeginSplit(split.name, static_cast<int64_t>(split.images.size())).ok());
      for (const int i : split.images) {
        int64_t label = 0;
        while (names[label][0] != ClassOf(i)) ++label;
        ASSERT_TRUE(builder->Add(PixelsOf(i, side, channels), label).ok());
      }
    }
    const absl::Status finished = builder->Finish();
    ASSERT_TRUE(finished.ok()) << finished;
  }

  // Makes data set "pets" of 30 and 12 images, and a config that trains on it.
  void WritePets() {
    Prepare("pets", {"apple", "bear", "cat"}, {{"train", Range(0, 30)}, {"test", Range(30, 42)}});
    const std::string path = absl::StrCat(folder_, "/pets");
    const std::string text = absl::StrCat(R"(
model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 2 } } head { num_classes: 3 } }
data {
  train { path: ")",
                                          path, R"(" split: "train" total_batch_size: 10
          pipeline { normalize {} } }
  val { path: ")",
                                          path, R"(" split: "test" total_batch_size: 6
        pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 } }
schedule { max_epochs: 2 }
runtime { log_interval: 1 }
)");
    ASSERT_TRUE(WriteFileAtomically(config(), text).ok());
  }

  std::string ValPath(const std::string& name) const {
    return absl::StrCat(" --set=data.val.path=", folder_, "/", name, " ");
  }

  Outcome Evaluate(const std::string& checkpoint, const std::string& flags = "") {
    return Run(absl::StrCat("mpirun -np 1 ", finetune_, " evaluate --config=", config(),
                            " --checkpoint=", folder_, "/", checkpoint, " ", flags));
  }

  // Returns the first line of an evaluation, "12 images, loss 1.0986, top-1 accuracy 33.33 %",
  // without the speed.
  static std::string Numbers(const Outcome& evaluation) {
    EXPECT_EQ(evaluation.exit_code, 0) << evaluation.output;
    const size_t begin = evaluation.output.find("12 images");
    if (begin == std::string::npos) return "none: " + evaluation.output;
    return evaluation.output.substr(begin, evaluation.output.find(" (", begin) - begin);
  }
};

// The data in "apart" are the same images with other class numbers, mean and std.
TEST_F(OtherDataTest, ValidationDataPreparedApartGiveTheSameNumbers) {
  WritePets();
  Prepare("apart", {"cat", "apple", "bear"}, {{"test", Range(30, 42)}});
  const Outcome run = Run(Mpirun(2, "run"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  const Outcome apart = Run(Mpirun(2, "apart_run", ValPath("apart")));
  ASSERT_EQ(apart.exit_code, 0) << apart.output;
  EXPECT_THAT(apart.output, AllOf(HasSubstr("its labels are mapped by name"),
                                  HasSubstr("data.val: normalize {} takes mean ["),
                                  HasSubstr("from data.train; the images' own are mean [")));
  std::vector<std::string> losses, apart_losses;
  for (const auto& [name, list] :
       {std::pair("run", &losses), std::pair("apart_run", &apart_losses)}) {
    for (const auto& record : Records(name)) {
      if (record["mode"] == "val") {
        list->push_back(absl::StrCat(record["loss"].dump(), " ", record["accuracy"].dump()));
      }
    }
  }
  EXPECT_EQ(losses.size(), 2u);
  EXPECT_EQ(apart_losses, losses);

  const Outcome own = Evaluate("run/latest.pth");
  const Outcome other = Evaluate("run/latest.pth", ValPath("apart"));
  EXPECT_EQ(Numbers(other), Numbers(own));
  EXPECT_THAT(other.output, AllOf(HasSubstr("its labels are mapped by name"),
                                  HasSubstr("/run/latest.pth; the images' own are mean [")));
  EXPECT_THAT(own.output, AllOf(Not(HasSubstr("mapped")), Not(HasSubstr("images' own"))));

  // The checkpoint carries the facts about its data, so the training data are not needed.
  EXPECT_EQ(Numbers(Evaluate("run/latest.pth",
                             ValPath("apart") + "--set=data.train.path=" + folder_ + "/gone")),
            Numbers(own));
}

// An exported file names classes, mean and std as the run's checkpoint does, so it maps and refuses
// the same data.
TEST_F(OtherDataTest, ExportedFilesGiveTheNumbersOfTheRunsCheckpoint) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=2")).exit_code, 0);
  Prepare("apart", {"cat", "apple", "bear"}, {{"test", Range(30, 42)}});
  Prepare("renamed", {"apple", "bears", "cat"}, {{"test", Range(30, 42)}});
  const std::string expected = Numbers(Evaluate("run/latest.pth"));
  for (const char* file : {"a.pth", "a.safetensors"}) {
    SCOPED_TRACE(file);
    const Outcome exported = Run(absl::StrCat(finetune_, " export --checkpoint=", folder_,
                                              "/run/latest.pth --to=", folder_, "/", file));
    ASSERT_EQ(exported.exit_code, 0) << exported.output;
    const Outcome apart = Evaluate(file, ValPath("apart"));
    EXPECT_EQ(Numbers(apart), expected);
    EXPECT_THAT(apart.output, AllOf(HasSubstr("its labels are mapped by name"),
                                    HasSubstr("normalize {} takes mean ["),
                                    Not(HasSubstr("does not name its classes"))));
    const Outcome renamed = Evaluate(file, ValPath("renamed"));
    EXPECT_EQ(renamed.exit_code, 2) << renamed.output;
    EXPECT_THAT(renamed.output, HasSubstr("1 of its 3 classes is not expected: \"bears\""));
    // The file carries the config too.
    EXPECT_EQ(Numbers(Run(absl::StrCat(finetune_, " evaluate --checkpoint=", folder_, "/", file,
                                       ValPath("apart")))),
              expected);
    // Neither the run's checkpoint nor an exported file is the beginning of a head with the classes
    // in another order.
    const Outcome first = Run(Mpirun(
        1, "new_run",
        absl::StrCat("--set=model.backbone.pretrained.checkpoint=", folder_, "/", file,
                     " --set=model.backbone.pretrained.with_head=true --set=data.train.split=test",
                     " --set=data.train.path=", folder_, "/apart --max_iterations=1")));
    EXPECT_EQ(first.exit_code, 2) << first.output;
    EXPECT_THAT(first.output, HasSubstr("its head does not have the classes of the training data"));
  }
}

TEST_F(OtherDataTest, ATestSetThatLacksAClassIsEvaluated) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=1")).exit_code, 0);
  std::vector<int> some;
  for (int i = 30; some.size() < 12; ++i) {
    if (ClassOf(i) != 'b') some.push_back(i);
  }
  Prepare("some", {"apple", "cat"}, {{"test", some}});
  const Outcome evaluation = Evaluate("run/latest.pth", ValPath("some"));
  EXPECT_EQ(evaluation.exit_code, 0) << evaluation.output;
  EXPECT_THAT(evaluation.output,
              AllOf(HasSubstr("12 images"), HasSubstr("has 2 of the 3 classes of "),
                    HasSubstr("it lacks \"bear\"")));
  EXPECT_EQ(Run(Mpirun(1, "some_run", ValPath("some") + "--max_iterations=1")).exit_code, 0);
}

TEST_F(OtherDataTest, ClassesOfOtherNamesAreRefusedWithBothLists) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=1")).exit_code, 0);
  Prepare("renamed", {"apple", "bears", "cat"}, {{"test", Range(30, 42)}});
  const std::string difference =
      "1 of its 3 classes is not expected: \"bears\". 1 of the 3 expected is missing: \"bear\"";
  const Outcome training = Run(Mpirun(2, "other", ValPath("renamed")));
  EXPECT_EQ(training.exit_code, 2) << training.output;
  EXPECT_THAT(training.output, HasSubstr(absl::StrCat("/renamed does not have the classes of the "
                                                      "data in ",
                                                      folder_, "/pets: ", difference)));
  const Outcome evaluation = Evaluate("run/latest.pth", ValPath("renamed"));
  EXPECT_EQ(evaluation.exit_code, 2) << evaluation.output;
  EXPECT_THAT(evaluation.output, HasSubstr(absl::StrCat("/run/latest.pth: ", difference)));
}

TEST_F(OtherDataTest, ACheckpointThatKnowsNoDataIsEvaluatedAsTheConfigSays) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=2")).exit_code, 0);
  const auto whole = ReadTorchFile(folder_ + "/run/latest.pth");
  ASSERT_TRUE(whole.ok()) << whole.status();
  Value::Dict bare;
  bare.Append("state_dict", *whole->Get("state_dict"));
  ASSERT_TRUE(WriteTorchFile(folder_ + "/bare.pth", bare).ok());

  // The checkpoint has no class names and no statistics: label i means output i, and data.train
  // gives mean and std.
  Prepare("apart", {"apple", "bear", "cat"}, {{"test", Range(30, 42)}});
  const Outcome evaluation = Evaluate("bare.pth", ValPath("apart"));
  EXPECT_EQ(Numbers(evaluation), Numbers(Evaluate("run/latest.pth")));
  EXPECT_THAT(
      evaluation.output,
      AllOf(HasSubstr("/bare.pth does not name its classes: label i of data.val is taken for "
                      "output i, in the order \"apple\", \"bear\", \"cat\""),
            HasSubstr("those of data.train in " + folder_ + "/pets are taken")));

  const Outcome foreign =
      Evaluate("bare.pth", ValPath("apart") + "--set=data.train.path=" + folder_ + "/gone");
  EXPECT_EQ(foreign.exit_code, 0) << foreign.output;
  EXPECT_THAT(foreign.output, HasSubstr("normalize {} takes the evaluated data's own, mean ["));

  // The weights are finite, but the logits are not.
  Value::Dict huge;
  TensorList tensors = *whole->GetTensors("state_dict");
  for (NamedTensor& tensor : tensors) {
    if (tensor.name == "head.fc.weight") tensor.tensor.fill_(3e38F);
  }
  huge.Append("state_dict", Value::FromTensors(tensors));
  ASSERT_TRUE(WriteTorchFile(folder_ + "/huge.pth", huge).ok());
  const Outcome broken = Evaluate("huge.pth");
  EXPECT_EQ(broken.exit_code, 1) << broken.output;
  EXPECT_THAT(broken.output, HasSubstr("images of data.val is nan; expected a finite number"));
}

TEST_F(OtherDataTest, ResumingOnOtherDataIsRefusedUnlessAllowed) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=3")).exit_code, 0);
  const std::vector<Split> whole = {{"train", Range(0, 30)}, {"test", Range(30, 42)}};
  const std::vector<std::string> names = {"apple", "bear", "cat"};

  // A data set that is prepared again from the same images counts as the same.
  Prepare("pets", names, whole);
  EXPECT_EQ(Run(Mpirun(1, "run", "--resume=auto --max_iterations=3")).exit_code, 0);

  Prepare("pets", names, {{"train", Range(0, 27)}, {"test", Range(30, 42)}});
  const Outcome fewer = Run(Mpirun(1, "run", "--resume=auto"));
  EXPECT_EQ(fewer.exit_code, 2) << fewer.output;
  EXPECT_THAT(fewer.output, AllOf(HasSubstr("data.train: it has 27 images; it had 30"),
                                  HasSubstr("give --allow_other_data if you mean it")));

  Prepare("pets", {"cat", "bear", "apple"}, whole);
  const Outcome reordered = Run(Mpirun(1, "run", "--resume=auto --allow_other_data"));
  EXPECT_EQ(reordered.exit_code, 2) << reordered.output;
  EXPECT_THAT(reordered.output, HasSubstr("the classes are in another order: \"cat\", \"bear\""));

  // Two classes that are in both data sets have different numbers.
  Prepare("pets", {"bear", "cat", "ape"}, whole);
  const Outcome renumbered = Run(Mpirun(1, "run", "--resume=auto --allow_other_data"));
  EXPECT_EQ(renumbered.exit_code, 2) << renumbered.output;
  EXPECT_THAT(renumbered.output, HasSubstr("renumbered: \"bear\" (0, in the checkpoint 1)"));

  Prepare("pets", {"apple", "bears", "cat"}, whole);
  const Outcome renamed = Run(Mpirun(1, "run", "--resume=auto"));
  EXPECT_EQ(renamed.exit_code, 2) << renamed.output;
  EXPECT_THAT(renamed.output, HasSubstr("new: \"bears\"; missing: \"bear\""));
  const Outcome meant = Run(Mpirun(2, "run", "--resume=auto --allow_other_data"));
  EXPECT_EQ(meant.exit_code, 0) << meant.output;
  EXPECT_THAT(meant.output, HasSubstr("going on with other data, as --allow_other_data says"));
  EXPECT_EQ(Losses("run").size(), 6u);
}

// Returns the paths below `folder` and the contents of its files.
std::map<std::string, std::string> Contents(const std::string& folder) {
  std::map<std::string, std::string> contents;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    contents[entry.path()] = entry.is_regular_file() ? ReadFile(entry.path()).value() : "";
  }
  return contents;
}

TEST_F(OtherDataTest, ARefusedResumeChangesNothing) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=2")).exit_code, 0);
  Prepare("pets", {"apple", "bear", "cat"}, {{"train", Range(0, 27)}, {"test", Range(30, 42)}});
  const std::map<std::string, std::string> before = Contents(folder_ + "/run");
  for (const char* work_dir : {"run", "other"}) {
    const Outcome refused =
        Run(Mpirun(2, work_dir, absl::StrCat("--resume=", folder_, "/run/latest.pth")));
    EXPECT_EQ(refused.exit_code, 2) << refused.output;
    EXPECT_THAT(refused.output, HasSubstr("data.train: it has 27 images; it had 30"));
  }
  EXPECT_TRUE(Contents(folder_ + "/run") == before);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/other"));
}

TEST_F(OtherDataTest, ResumingWithAnotherMeanAndStdIsSaid) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=1")).exit_code, 0);
  const Outcome same = Run(Mpirun(1, "run", "--resume=auto --max_iterations=1"));
  EXPECT_EQ(same.exit_code, 0) << same.output;
  EXPECT_THAT(same.output, Not(HasSubstr("the checkpoint's run normalised by")));
  const std::string normalize = "{normalize {mean: [1, 2, 3] std: [4, 5, 6]}} ";
  const Outcome other = Run(Mpirun(1, "run",
                                   absl::StrCat("--resume=auto --max_iterations=2 \"",
                                                "--set=data.train.pipeline=", normalize, "\"")));
  EXPECT_EQ(other.exit_code, 0) << other.output;
  EXPECT_THAT(other.output,
              HasSubstr("data.train normalises by mean [1, 2, 3] and std [4, 5, 6]; the "
                        "checkpoint's run normalised by mean ["));
}

// Earlier versions of finetune did not write a first line that names finetune.
TEST_F(OtherDataTest, TextsOfAnEarlierFinetuneAreSetAsideByAResume) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=1")).exit_code, 0);
  const std::string path = absl::StrCat(folder_, "/run/config.pbtxt");
  ASSERT_TRUE(WriteFileAtomically(path, "name: \"mine\"\n").ok());
  const Outcome resumed = Run(Mpirun(1, "run", "--resume=auto --max_iterations=2"));
  EXPECT_EQ(resumed.exit_code, 0) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr(absl::StrCat("is kept as ", path, ".bak")));
  EXPECT_EQ(ReadFile(path + ".bak").value(), "name: \"mine\"\n");
  EXPECT_THAT(ReadFile(path).value(), HasSubstr("Written by finetune"));

  // Without a checkpoint of finetune the file counts as another program's.
  ASSERT_EQ(Run(absl::StrCat("mkdir ", folder_, "/other")).exit_code, 0);
  const std::string foreign = absl::StrCat(folder_, "/other/config.pbtxt");
  ASSERT_TRUE(WriteFileAtomically(foreign, "name: \"mine\"\n").ok());
  const Outcome refused =
      Run(Mpirun(1, "other", absl::StrCat("--resume=", folder_, "/run/latest.pth")));
  EXPECT_EQ(refused.exit_code, 2) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("found a file that finetune did not write"));
}

TEST_F(OtherDataTest, AHeadOfOtherClassesIsRefused) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=1")).exit_code, 0);
  Prepare("apart", {"cat", "apple", "bear"}, {{"train", Range(0, 30)}, {"test", Range(30, 42)}});
  const std::string start =
      absl::StrCat("--set=model.backbone.pretrained.checkpoint=", folder_, "/run/latest.pth ",
                   "--set=model.backbone.pretrained.with_head=true --max_iterations=1 ");
  EXPECT_EQ(Run(Mpirun(1, "same", start)).exit_code, 0);
  const Outcome other =
      Run(Mpirun(2, "other", absl::StrCat(start, "--set=data.train.path=", folder_, "/apart")));
  EXPECT_EQ(other.exit_code, 2) << other.output;
  EXPECT_THAT(other.output,
              HasSubstr("/run/latest.pth: its head does not have the classes of the training data: "
                        "the classes are in another order: \"cat\", \"apple\", \"bear\""));
}

TEST_F(OtherDataTest, AResumedRunGoesOnInTheSameEpochOfOtherData) {
  WritePets();
  ASSERT_EQ(Run(Mpirun(1, "run", "--max_iterations=3")).exit_code, 0);
  // An epoch has 5 iterations instead of 3.
  Prepare("pets", {"apple", "bear", "cat"}, {{"train", Range(0, 50)}, {"test", Range(30, 42)}});
  const Outcome more = Run(Mpirun(1, "run", "--resume=auto --allow_other_data"));
  EXPECT_EQ(more.exit_code, 0) << more.output;
  EXPECT_THAT(more.output,
              AllOf(HasSubstr("the run goes on after epoch 1"), HasSubstr("epoch 2 [1/5]"),
                    HasSubstr("epoch 2 [5/5]"), Not(HasSubstr("epoch 3"))));
}

TEST_F(OtherDataTest, ImagesThatTheModelDoesNotTakeAreRefusedBeforeTraining) {
  WritePets();
  Prepare("small", {"apple", "bear", "cat"}, {{"train", Range(0, 30)}, {"test", Range(30, 42)}}, 28,
          1);
  const Outcome grey = Run(Mpirun(2, "run", ValPath("small")));
  EXPECT_EQ(grey.exit_code, 2) << grey.output;
  EXPECT_THAT(grey.output, Not(HasSubstr("epoch 1")));

  const std::string lenet = " --set=model.backbone.lenet5={} --set=model.neck.kind=NONE ";
  const Outcome size = Run(
      Mpirun(2, "run", ValPath("small") + lenet + "--set=data.train.path=" + folder_ + "/small"));
  EXPECT_EQ(size.exit_code, 2) << size.output;
  for (const char* split : {"data.train", "data.val"}) {
    EXPECT_THAT(size.output,
                HasSubstr(absl::StrCat(split,
                                       ": found images of 28x28 with 1 channel; LeNet-5 "
                                       "takes images of 32x32 with 1 channel")));
  }
}

TEST_F(OtherDataTest, ALoneImageIsFoundBeforeTraining) {
  WritePets();
  // Five halvings reduce 32x32 to 1x1.
  const std::string stem = "--set=model.backbone.resnet.stem=IMAGENET ";
  const Outcome one = Run(Mpirun(1, "run", stem + "--set=data.train.batch_size=29"));
  EXPECT_EQ(one.exit_code, 2) << one.output;
  EXPECT_THAT(one.output,
              AllOf(HasSubstr("an epoch's last batch has 1 of the 30 images"),
                    HasSubstr("data.train.drop_last: true"),
                    HasSubstr("or resize images to 33x33 or more"), Not(HasSubstr("epoch 1"))));
  const Outcome micro = Run(Mpirun(1, "run", stem + "--set=data.train.micro_batch_size=1"));
  EXPECT_EQ(micro.exit_code, 2) << micro.output;
  EXPECT_THAT(micro.output,
              AllOf(HasSubstr("data.train.micro_batch_size: 2"), Not(HasSubstr("drop_last"))));
  const Outcome dropped = Run(
      Mpirun(1, "run", stem + "--set=data.train.batch_size=29 --set=data.train.drop_last=true"));
  EXPECT_EQ(dropped.exit_code, 0) << dropped.output;
}

}  // namespace
}  // namespace finetune
