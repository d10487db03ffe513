// Tests finetune predict as a user runs it.
#include <hdf5.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/checkpoint/reader.h"
#include "src/checkpoint/writer.h"
#include "src/data/dataset.h"
#include "src/data/decode/test_images.h"
#include "src/data/hdf5_handle.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr int kImages = 24, kClasses = 4, kSide = 32;

class PredictTest : public TrainingTest {
 protected:
  // Trains, and writes the images of data.val to the folder photos.
  void Train() {
    WriteResNet();
    const Outcome run = Run(Mpirun(2, "run"));
    ASSERT_EQ(run.exit_code, 0) << run.output;
    const auto data = Dataset::Open(folder_ + "/data", "test");
    ASSERT_TRUE(data.ok()) << data.status();
    fs::create_directory(folder_ + "/photos");
    std::vector<uint8_t> pixels(size_t{kSide} * kSide * 3);
    for (int i = 0; i < kImages; ++i) {
      int64_t label = 0;
      ASSERT_TRUE((*data)->Read({i}, pixels.data(), &label).ok());
      std::string rows;
      for (size_t y = 0; y < kSide; ++y) {
        rows += '\0';
        rows.append(reinterpret_cast<const char*>(&pixels[y * kSide * 3]), size_t{kSide} * 3);
      }
      ASSERT_TRUE(WriteFileAtomically(Photo(i), Png(kSide, kSide, 8, 2, rows)).ok());
    }
  }

  std::string Photo(int i) const { return absl::StrFormat("%s/photos/%02d.png", folder_, i); }

  // Predicts with the checkpoint alone, without --config.
  Outcome Predict(int ranks, const std::string& flags, const std::string& checkpoint = "latest") {
    return Run(absl::StrCat("mpirun -np ", ranks, " --oversubscribe --bind-to none ", finetune_,
                            " predict --checkpoint=", folder_, "/run/", checkpoint,
                            ".pth --set=runtime.threads=1 ", flags));
  }

  std::string Text(const std::string& name) const {
    const absl::StatusOr<std::string> text = ReadFile(folder_ + "/" + name);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.value_or("");
  }
  std::vector<std::string> Lines(const std::string& name) const {
    return absl::StrSplit(Text(name), '\n', absl::SkipEmpty());
  }
  std::vector<nlohmann::json> Json(const std::string& name) const {
    std::vector<nlohmann::json> rows;
    for (const std::string& line : Lines(name)) rows.push_back(nlohmann::json::parse(line));
    return rows;
  }
};

TEST_F(PredictTest, GivesEvaluatesScoresOnAnyNumberOfRanks) {
  Train();
  const Outcome evaluated = Run(
      absl::StrCat(finetune_, " evaluate --checkpoint=", folder_,
                   "/run/latest.pth --set=runtime.threads=1 --scores=", folder_, "/scores.csv"));
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.output;
  for (const int ranks : {1, 2, 3}) {
    const Outcome outcome = Predict(
        ranks, absl::StrCat(folder_,
                            "/photos --top_k=9 --batch_size=5 --features=backbone --out=", folder_,
                            "/", ranks, ".jsonl --features_out=", folder_, "/", ranks, ".npy"));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  for (const int ranks : {2, 3}) {
    EXPECT_EQ(Text("1.jsonl"), Text(absl::StrCat(ranks, ".jsonl")));
    EXPECT_EQ(Text("1.npy"), Text(absl::StrCat(ranks, ".npy")));
  }
  const auto rows = Json("1.jsonl");
  const std::vector<std::string> scores = Lines("scores.csv");
  ASSERT_EQ(rows.size(), static_cast<size_t>(kImages));
  ASSERT_EQ(scores.size(), rows.size() + 1);
  const std::vector<std::string> names = absl::StrSplit(scores[0], ',');
  for (int i = 0; i < kImages; ++i) {
    EXPECT_EQ(rows[i]["path"], Photo(i));
    const std::vector<std::string> fields = absl::StrSplit(scores[i + 1], ',');
    ASSERT_EQ(rows[i]["guesses"].size(), static_cast<size_t>(kClasses));
    EXPECT_EQ(absl::StrCat(rows[i]["guesses"][0]["label"].get<int>()), fields[2]);
    double before = 1;
    for (const auto& guess : rows[i]["guesses"]) {
      const int label = guess["label"];
      EXPECT_EQ(guess["class"], names[3 + label]);
      // Matrix products of different sizes may round differently.
      EXPECT_NEAR(guess["probability"].get<double>(), std::stod(fields[3 + label]), 1e-6);
      EXPECT_LE(guess["probability"].get<double>(), before);
      before = guess["probability"];
    }
  }
  const std::string npy = Text("1.npy");
  EXPECT_THAT(npy.substr(0, 128), HasSubstr("'descr': '<f4', 'fortran_order': False, 'shape': (24, "
                                            "32,)"));
  EXPECT_EQ(npy.size(), 128 + sizeof(float) * kImages * 32);

  // HDF5 has the same rows, whatever the number of ranks that made them.
  for (const int ranks : {1, 3}) {
    const std::string path = absl::StrCat(folder_, "/", ranks, ".h5");
    const Outcome outcome = Predict(
        ranks, absl::StrCat(folder_, "/photos --batch_size=5 --features=backbone --out=", folder_,
                            "/", ranks, ".again --features_out=", path));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    const Hdf5Lock lock;
    const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
    const Hdf5Handle set(H5Dopen2(file.get(), "features", H5P_DEFAULT), H5Dclose);
    ASSERT_TRUE(set.ok());
    std::string values(sizeof(float) * kImages * 32, '\0');
    ASSERT_GE(H5Dread(set.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
              0);
    EXPECT_EQ(values, npy.substr(128));
  }
}

// The same images can be given by a folder, an archive, a list or standard input.
TEST_F(PredictTest, AnswersEveryKindOfInputAlike) {
  Train();
  const Outcome packed = Run(absl::StrCat(
      "bash -c 'cd ", folder_,
      " && tar cf photos.tar photos/*.png && tar czf photos.tar.gz photos/*.png && python3 -m "
      "zipfile -c photos.zip photos/*.png && ls $PWD/photos/*.png > list.txt'"));
  ASSERT_EQ(packed.exit_code, 0) << packed.output;
  const auto guesses = [&](int ranks, const std::string& name, const std::string& input) {
    const Outcome outcome =
        Predict(ranks, absl::StrCat("--batch_size=5 --out=", folder_, "/", name, " ", input));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
    std::vector<nlohmann::json> found;
    for (const nlohmann::json& row : Json(name)) found.push_back(row["guesses"]);
    return found;
  };
  const auto expected = guesses(1, "folder.jsonl", folder_ + "/photos");
  ASSERT_EQ(expected.size(), static_cast<size_t>(kImages));
  for (const std::string name : {"photos.tar", "photos.tar.gz", "photos.zip"}) {
    EXPECT_EQ(guesses(2, name + ".jsonl", absl::StrCat(folder_, "/", name)), expected) << name;
    // Only the end of the path is compared, because Python's zipfile stores no folder name.
    EXPECT_THAT(Json(name + ".jsonl")[3]["path"].get<std::string>(),
                AllOf(StartsWith(absl::StrCat(folder_, "/", name, "/")), EndsWith("/03.png")));
  }
  EXPECT_EQ(guesses(2, "list.jsonl", absl::StrCat("--list=", folder_, "/list.txt")), expected);
  // Uses a shell pipe, because a Job's own standard input is empty.
  const Outcome piped = Run(absl::StrCat(
      "bash -c 'cat ", folder_, "/list.txt | mpirun -np 2 --oversubscribe --bind-to none ",
      finetune_, " predict --checkpoint=", folder_, "/run/latest.pth --set=runtime.threads=1 ",
      "--batch_size=5 --list=- --out=", folder_, "/stdin.jsonl'"));
  EXPECT_EQ(piped.exit_code, 0) << piped.output;
  EXPECT_EQ(Text("stdin.jsonl"), Text("list.jsonl"));
  EXPECT_EQ(Text("folder.jsonl"), Text("list.jsonl"));
}

TEST_F(PredictTest, BrokenImageIsARowAndTheOthersAreAnswered) {
  Train();
  ASSERT_EQ(Predict(1, absl::StrCat(folder_, "/photos --out=", folder_, "/whole.jsonl")).exit_code,
            0);
  const std::string image = *ReadFile(Photo(7));
  ASSERT_TRUE(WriteFileAtomically(Photo(7), image.substr(0, image.size() / 2)).ok());
  ASSERT_TRUE(WriteFileAtomically(Photo(9), "hello").ok());
  std::string list;
  for (int i = 0; i < kImages; ++i) absl::StrAppend(&list, Photo(i), "\n");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/list.txt", list).ok());
  fs::remove(Photo(11));
  for (const int ranks : {1, 2}) {
    const Outcome outcome =
        Predict(ranks, absl::StrCat("--list=", folder_, "/list.txt --force --out=", folder_,
                                    "/broken.jsonl --features=backbone --features_out=", folder_,
                                    "/f.npy"));
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("3 images could not be answered; the rows say why"));
    const auto whole = Json("whole.jsonl"), broken = Json("broken.jsonl");
    ASSERT_EQ(broken.size(), whole.size());
    const std::string npy = Text("f.npy");
    for (int i = 0; i < kImages; ++i) {
      const bool bad = i == 7 || i == 9 || i == 11;
      float feature = 0;
      std::memcpy(&feature, &npy[128 + sizeof(float) * 32 * i], sizeof(feature));
      EXPECT_EQ(feature != feature, bad) << i;  // NaN
      if (bad) {
        EXPECT_EQ(broken[i]["path"], Photo(i));
        EXPECT_FALSE(broken[i].contains("guesses"));
      } else {
        EXPECT_EQ(broken[i], whole[i]);
      }
    }
    EXPECT_THAT(broken[9]["error"].get<std::string>(), HasSubstr("is not an image"));
    EXPECT_THAT(broken[11]["error"].get<std::string>(), HasSubstr("No such file"));
  }
  const Outcome csv =
      Predict(2, absl::StrCat("--list=", folder_,
                              "/list.txt --format=csv --top_k=1 --out=", folder_, "/broken.csv"));
  EXPECT_EQ(csv.exit_code, 1) << csv.output;
  EXPECT_EQ(Lines("broken.csv")[0], "path,error,class1,probability1");
  EXPECT_EQ(Lines("broken.csv").size(), static_cast<size_t>(kImages) + 1);
}

// Images before the damage get predictions. A row with an error says that later ones are lost.
TEST_F(PredictTest, CutArchiveEndsInARowWithAnError) {
  Train();
  const Outcome packed =
      Run(absl::StrCat("bash -c 'cd ", folder_,
                       " && tar cf photos.tar photos && head -c 20000 photos.tar > cut.tar'"));
  ASSERT_EQ(packed.exit_code, 0) << packed.output;
  const Outcome outcome = Predict(2, absl::StrCat(folder_, "/cut.tar ", Photo(0),
                                                  " --batch_size=2 --out=", folder_, "/cut.jsonl"));
  EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
  const auto rows = Json("cut.jsonl");
  ASSERT_GE(rows.size(), 4u);
  EXPECT_TRUE(rows.front().contains("guesses"));
  EXPECT_TRUE(rows.back().contains("guesses"));
  const nlohmann::json& lost = rows[rows.size() - 2];
  EXPECT_EQ(lost["path"], folder_ + "/cut.tar");
  EXPECT_THAT(lost["error"].get<std::string>(), HasSubstr("cut.tar: broken off at byte 20000"));
}

TEST_F(PredictTest, RefusesInputsThatAreNotThereBeforeItWrites) {
  Train();
  fs::create_directory(folder_ + "/empty");
  ASSERT_TRUE(WriteFileAtomically(folder_ + "/none.txt", "\n\n").ok());
  const std::string out = absl::StrCat(" --out=", folder_, "/rows.jsonl");
  const auto expect = [&](const std::string& flags, const std::string& message) {
    const Outcome outcome = Predict(2, flags + out);
    EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
    EXPECT_THAT(outcome.output, AllOf(HasSubstr(message), Not(HasSubstr("rank 1"))));
    EXPECT_FALSE(fs::exists(folder_ + "/rows.jsonl"));
  };
  expect(folder_ + "/nowhere.jpg", folder_ + "/nowhere.jpg: does not exist; expected an image");
  expect(folder_ + "/empty", folder_ + "/empty: found no file below it whose name ends");
  expect(absl::StrCat("--list=", folder_, "/nowhere.txt"), "--list: ");
  expect(absl::StrCat("--list=", folder_, "/none.txt"), "/none.txt: found no path in it");
  expect("", "no images are given");
  expect(folder_ + "/photos --format=xml", "--format: found xml; expected jsonl, csv or table");
  expect(folder_ + "/photos --features=backbone", "--features_out=FILE.npy or .h5 go together");
  const Outcome folder = Predict(2, absl::StrCat(folder_, "/photos --out=", folder_, "/no/rows"));
  EXPECT_NE(folder.exit_code, 0) << folder.output;
  EXPECT_THAT(folder.output, HasSubstr("--out: "));
}

// A checkpoint with weights only, as other programs write it, needs --config.
TEST_F(PredictTest, AsksACheckpointWithoutConfigAndClassesByAConfig) {
  Train();
  const auto root = ReadTorchFile(folder_ + "/run/latest.pth", {"state_dict"});
  ASSERT_TRUE(root.ok()) << root.status();
  Value::Dict weights;
  weights.Append("state_dict", *root->Get("state_dict"));
  ASSERT_TRUE(WriteTorchFile(folder_ + "/run/weights.pth", Value(std::move(weights))).ok());
  const auto predict = [&](const std::string& flags) {
    return Predict(
        1, absl::StrCat(folder_, "/photos ", flags, " --force --out=", folder_, "/rows.jsonl"),
        "weights");
  };

  const Outcome alone = predict("");
  EXPECT_EQ(alone.exit_code, 2) << alone.output;
  EXPECT_THAT(alone.output, HasSubstr("carries no config of finetune; give one as --config=F"));

  ASSERT_EQ(Predict(1, absl::StrCat(folder_, "/photos --out=", folder_, "/own.jsonl")).exit_code,
            0);
  const Outcome by_data = predict("--config=" + config());
  EXPECT_EQ(by_data.exit_code, 0) << by_data.output;
  EXPECT_THAT(by_data.output, HasSubstr("the names of the config's data are taken"));
  EXPECT_EQ(Text("rows.jsonl"), Text("own.jsonl"));

  // Neither the checkpoint nor the data give the mean and std of the model's training.
  fs::rename(folder_ + "/data", folder_ + "/moved");
  const Outcome unknown = predict("--config=" + config());
  EXPECT_EQ(unknown.exit_code, 2) << unknown.output;
  EXPECT_THAT(unknown.output, HasSubstr("data.val.pipeline: normalize {} has no mean and std"));

  const std::string text = *ReadFile(config());
  ASSERT_TRUE(WriteFileAtomically(
                  config(), absl::StrReplaceAll(
                                text, {{"normalize {}",
                                        "resize { size: 32 } } pipeline { normalize { mean: [125, "
                                        "125, 125] std: [60, 60, 60] }"}}))
                  .ok());
  const Outcome numbered = predict("--config=" + config());
  EXPECT_EQ(numbered.exit_code, 0) << numbered.output;
  EXPECT_THAT(numbered.output, HasSubstr("does not name its classes: the numbers of its outputs"));
  for (const nlohmann::json& row : Json("rows.jsonl")) {
    for (const auto& guess : row["guesses"]) {
      EXPECT_EQ(guess["class"], absl::StrCat(guess["label"].get<int>()));
    }
  }
}

}  // namespace
}  // namespace finetune
