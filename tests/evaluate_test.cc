// Tests finetune evaluate as a user runs it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/status_macros.h"
#include "src/data/builder.h"
#include "src/data/dataset.h"
#include "src/data/manifest.h"
#include "tests/job.h"
#include "tests/training_test.h"

namespace finetune {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kImages = 24, kClasses = 4;

class EvaluateTest : public TrainingTest {
 protected:
  void Train() {
    WriteResNet();
    const Outcome run = Run(Mpirun(2, "run", "--set=model.head.topk=[1,2]"));
    ASSERT_EQ(run.exit_code, 0) << run.output;
  }

  // Evaluates a checkpoint of the run on `ranks` ranks.
  Outcome Evaluate(int ranks, const std::string& flags,
                   const std::string& checkpoint = "latest.pth") {
    return Run(absl::StrCat("mpirun -np ", ranks, " --oversubscribe --bind-to none ", finetune_,
                            " evaluate --config=", config(), " --checkpoint=", folder_, "/run/",
                            checkpoint, " --set=model.head.topk=[1,2] --set=runtime.threads=1 ",
                            flags));
  }

  nlohmann::json Json(const std::string& name) const {
    const absl::StatusOr<std::string> text = ReadFile(folder_ + "/" + name);
    EXPECT_TRUE(text.ok()) << text.status();
    return text.ok() ? nlohmann::json::parse(*text) : nlohmann::json();
  }
};

// Returns the lines of a score file without the first, each split into its fields.
std::vector<std::vector<std::string>> Rows(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  EXPECT_TRUE(text.ok()) << text.status();
  std::vector<std::vector<std::string>> rows;
  if (!text.ok()) return rows;
  for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
    rows.push_back(absl::StrSplit(line, ','));
  }
  rows.erase(rows.begin());
  return rows;
}

// Writes a data set to `folder`: 24 encoded images of 32x32 in the split "test", with the class
// names of the data set in the folder `classes_of`.
absl::Status MakeEncoded(const std::string& classes_of, const std::string& folder) {
  FT_ASSIGN_OR_RETURN(const DatasetManifest manifest, ReadManifest(classes_of));
  DatasetBuilder::Options options;
  options.folder = folder;
  options.class_names = {manifest.class_name().begin(), manifest.class_name().end()};
  options.channels = 3;
  options.encoded = true;
  options.shards = 3;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
  FT_RETURN_IF_ERROR(builder.BeginSplit("test", kImages));
  for (int i = 0; i < kImages; ++i) {
    std::vector<uint8_t> pixels;
    for (int j = 0; j < 32 * 32 * 3; ++j) pixels.push_back(static_cast<uint8_t>(61 * i + 29 * j));
    const PixelSums sums = SumPixels(pixels, /*channels=*/3);
    const std::string ppm = "P6 32 32 255\n" + std::string(pixels.begin(), pixels.end());
    FT_RETURN_IF_ERROR(builder.AddEncoded(ppm, {32, 32}, i % kClasses, &sums));
  }
  return builder.Finish();
}

// Damages an image: inverts its last bytes in the shard, so that its checksum is wrong. Returns the
// shard's file name.
std::string Damage(const std::string& data, int64_t index) {
  const auto dataset = Dataset::Open(data, "test");
  EXPECT_TRUE(dataset.ok()) << dataset.status();
  if (!dataset.ok()) return "";
  std::string image;
  int64_t label = 0;
  EXPECT_TRUE((*dataset)->ReadEncoded(index, &image, &label).ok());
  for (const DatasetShard& shard : (*dataset)->split().shard()) {
    const std::string path = absl::StrCat(data, "/", shard.file());
    absl::StatusOr<std::string> bytes = ReadFile(path);
    EXPECT_TRUE(bytes.ok()) << bytes.status();
    const size_t at = bytes.ok() ? bytes->find(image) : std::string::npos;
    if (at == std::string::npos) continue;
    for (size_t i = at + image.size() - 100; i < at + image.size(); ++i) {
      (*bytes)[i] = static_cast<char>(~(*bytes)[i]);
    }
    EXPECT_TRUE(WriteFileAtomically(path, *bytes).ok());
    return shard.file();
  }
  ADD_FAILURE() << "no shard has image " << index;
  return "";
}

TEST_F(EvaluateTest, LeavesADamagedImageOutOfAllFiguresAndCountsItWhereTheConfigSkips) {
  Train();
  const std::string data = folder_ + "/encoded";
  const absl::Status made = MakeEncoded(folder_ + "/data", data);
  ASSERT_TRUE(made.ok()) << made;
  const std::string of_data = absl::StrCat("--set=data.val.path=", data, " ");
  const Outcome whole = Evaluate(2, absl::StrCat(of_data, "--scores=", folder_, "/whole.csv"));
  ASSERT_EQ(whole.exit_code, 0) << whole.output;
  // Image 13 is number 5 of the second shard.
  const std::string shard = Damage(data, 13);

  // By default the evaluation fails with the place and the cause.
  const Outcome failed = Evaluate(2, of_data);
  EXPECT_EQ(failed.exit_code, 1) << failed.output;
  EXPECT_THAT(failed.output, AllOf(HasSubstr(shard), HasSubstr("the checksum of image 5 ")));

  for (const int ranks : {1, 3}) {
    const Outcome skipped = Evaluate(
        ranks, absl::StrCat(of_data, "--set=data.on_corrupt=SKIP --force --output=", folder_,
                            "/skipped.json --scores=", folder_, "/skipped.csv"));
    ASSERT_EQ(skipped.exit_code, 0) << skipped.output;
    EXPECT_THAT(skipped.output, AllOf(HasSubstr("23 images (1 damaged, left out), loss "),
                                      HasSubstr("skipped a damaged image"), HasSubstr(shard),
                                      HasSubstr("the checksum of image 5 ")));
    const nlohmann::json json = Json("skipped.json");
    EXPECT_EQ(json["images"], kImages - 1);
    EXPECT_EQ(json["damaged"], 1);
    // The guesses for all other images do not change.
    const auto before = Rows(folder_ + "/whole.csv"), after = Rows(folder_ + "/skipped.csv");
    ASSERT_EQ(before.size(), static_cast<size_t>(kImages));
    ASSERT_EQ(after.size(), static_cast<size_t>(kImages - 1));
    for (size_t i = 0, j = 0; i < before.size(); ++i) {
      if (before[i][0] == "13") continue;
      for (size_t column = 0; column < 3; ++column) {
        EXPECT_EQ(after[j][column], before[i][column]) << i;
      }
      ++j;
    }
  }
}

TEST_F(EvaluateTest, AValidationInTrainingLeavesOutTheSameImagesAsEvaluate) {
  WriteResNet();
  const std::string data = folder_ + "/encoded";
  const absl::Status made = MakeEncoded(folder_ + "/data", data);
  ASSERT_TRUE(made.ok()) << made;
  Damage(data, 13);
  Damage(data, 14);
  const std::string flags =
      absl::StrCat("--set=data.val.path=", data, " --set=data.on_corrupt=SKIP ");
  const Outcome run = Run(Mpirun(2, "run", flags + "--max_iterations=5"));
  ASSERT_EQ(run.exit_code, 0) << run.output;
  EXPECT_THAT(run.output, AllOf(HasSubstr("(22 images and 2 damaged, left out, in "),
                                HasSubstr("skipped a damaged image, which no figure counts")));
  const auto records = Records("run");
  const auto validation = std::find_if(records.begin(), records.end(),
                                       [](const auto& one) { return one["mode"] == "val"; });
  ASSERT_NE(validation, records.end());
  EXPECT_EQ((*validation)["pictures"], kImages - 2);
  EXPECT_EQ((*validation)["damaged"], 2);
  const Outcome evaluated = Evaluate(1, absl::StrCat(flags, "--output=", folder_, "/a.json"));
  ASSERT_EQ(evaluated.exit_code, 0) << evaluated.output;
  const nlohmann::json json = Json("a.json");
  EXPECT_EQ(json["images"], (*validation)["pictures"]);
  EXPECT_EQ(json["accuracy"], (*validation)["accuracy"]["top1"]);
  EXPECT_NEAR(json["loss"].get<double>(), (*validation)["loss"].get<double>(), 1e-5);
}

TEST_F(EvaluateTest, RefusesASplitOfDamagedImagesAlone) {
  Train();
  const std::string data = folder_ + "/encoded";
  const absl::Status made = MakeEncoded(folder_ + "/data", data);
  ASSERT_TRUE(made.ok()) << made;
  for (int i = 0; i < kImages; ++i) Damage(data, i);
  const std::string flags =
      absl::StrCat("--set=data.val.path=", data, " --set=data.on_corrupt=SKIP ");
  for (const Outcome& outcome : {Evaluate(2, flags), Run(Mpirun(2, "other", flags))}) {
    EXPECT_EQ(outcome.exit_code, 1) << outcome.output;
    EXPECT_THAT(outcome.output, HasSubstr("data.val: all of its 24 images are damaged"));
  }
}

TEST_F(EvaluateTest, FiguresDoNotDependOnTheNumberOfRanks) {
  Train();
  for (const int ranks : {1, 3}) {
    const Outcome outcome =
        Evaluate(ranks, absl::StrCat("--output=", folder_, "/", ranks, ".json --scores=", folder_,
                                     "/", ranks, ".csv"));
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  }
  nlohmann::json one = Json("1.json"), three = Json("3.json");
  EXPECT_EQ(one["images"], kImages);
  // Matrix products of different sizes may round differently. All counts must be the same.
  EXPECT_NEAR(one["loss"].get<double>(), three["loss"].get<double>(), 1e-5);
  EXPECT_NEAR(one["calibration"]["error"].get<double>(),
              three["calibration"]["error"].get<double>(), 1e-5);
  for (const char* figure : {"topk", "accuracy", "accuracy_interval", "balanced_accuracy", "macro",
                             "micro", "classes", "confusion"}) {
    EXPECT_EQ(one[figure], three[figure]) << figure;
  }

  const auto rows = Rows(folder_ + "/1.csv"), others = Rows(folder_ + "/3.csv");
  ASSERT_EQ(rows.size(), static_cast<size_t>(kImages));
  ASSERT_EQ(others.size(), rows.size());
  int right = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), static_cast<size_t>(3 + kClasses));
    EXPECT_EQ(rows[i][0], absl::StrCat(i));
    for (size_t field = 0; field < 3; ++field) EXPECT_EQ(rows[i][field], others[i][field]);
    right += rows[i][1] == rows[i][2] ? 1 : 0;
    double sum = 0;
    std::vector<double> scores;
    for (size_t c = 3; c < rows[i].size(); ++c) {
      scores.push_back(std::stod(rows[i][c]));
      sum += scores.back();
      EXPECT_NEAR(scores.back(), std::stod(others[i][c]), 1e-5);
    }
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_EQ(absl::StrCat(std::max_element(scores.begin(), scores.end()) - scores.begin()),
              rows[i][2]);
  }
  EXPECT_DOUBLE_EQ(one["accuracy"].get<double>(), static_cast<double>(right) / kImages);
}

TEST_F(EvaluateTest, PrintsTheOneLineResultFirstAndATableThatFitsTheScreen) {
  Train();
  const Outcome outcome = Evaluate(2, "");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  // Notes on stderr come before the first line of the result.
  const size_t begin = outcome.output.find("24 images");
  ASSERT_NE(begin, std::string::npos) << outcome.output;
  const std::vector<std::string> lines = absl::StrSplit(outcome.output.substr(begin), '\n');
  EXPECT_THAT(lines[0], testing::MatchesRegex("24 images, loss [0-9.]+, top-1 accuracy [0-9.]+ "
                                              "%, top-2 accuracy [0-9.]+ % \\([0-9.]+ "
                                              "images/s\\)"));
  EXPECT_THAT(lines[1], StartsWith("accuracy "));
  EXPECT_THAT(outcome.output, HasSubstr("macro average"));
  EXPECT_THAT(lines, Each(testing::ResultOf([](const std::string& line) { return line.size(); },
                                            testing::Le(100u))));
}

TEST_F(EvaluateTest, ComparesTwoCheckpointsByMcNemarsTest) {
  Train();
  const Outcome outcome = Evaluate(
      2,
      absl::StrCat("--compare=", folder_, "/run/epoch_1.pth --output=", folder_, "/compared.json"));
  ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("McNemar's exact test of the two: p = "));
  const nlohmann::json compared = Json("compared.json")["compared"];
  const auto count = [&](const char* name) { return compared[name].get<int>(); };
  EXPECT_EQ(count("both_right") + count("only_first_right") + count("only_second_right") +
                count("neither_right"),
            kImages);
  // The other checkpoint has the same accuracy when it is evaluated alone.
  ASSERT_EQ(Evaluate(1, absl::StrCat("--output=", folder_, "/first.json"), "epoch_1.pth").exit_code,
            0);
  EXPECT_EQ(compared["accuracy"], Json("first.json")["accuracy"]);
  EXPECT_DOUBLE_EQ(
      (count("both_right") + count("only_second_right")) / static_cast<double>(kImages),
      compared["accuracy"].get<double>());

  // Compared with itself, a checkpoint has the p-value 1.
  ASSERT_EQ(Evaluate(1, absl::StrCat("--compare=", folder_, "/run/latest.pth --output=", folder_,
                                     "/same.json"))
                .exit_code,
            0);
  EXPECT_EQ(Json("same.json")["compared"]["p_value"], 1.0);
  EXPECT_EQ(Json("same.json")["compared"]["only_first_right"], 0);
}

// Images 2k and 2k + 1 are each other's mirror images.
TEST_F(EvaluateTest, FlipGivesAnImageAndItsMirrorImageTheSameScores) {
  Train();
  DatasetBuilder::Options options;
  options.folder = folder_ + "/mirrored";
  options.class_names = {"class_0", "class_1", "class_2", "class_3"};
  options.height = options.width = 32;
  options.channels = 3;
  const nlohmann::json first = [&] {
    EXPECT_EQ(Evaluate(1, absl::StrCat("--output=", folder_, "/plain.json")).exit_code, 0);
    return Json("plain.json");
  }();
  for (size_t c = 0; c < options.class_names.size(); ++c) {
    options.class_names[c] = first["classes"][c]["name"];
  }
  auto builder = DatasetBuilder::Create(options);
  ASSERT_TRUE(builder.ok()) << builder.status();
  ASSERT_TRUE(builder->BeginSplit("test", 8).ok());
  for (int i = 0; i < 8; ++i) {
    std::vector<uint8_t> pixels(size_t{32} * 32 * 3);
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        const int from = i % 2 == 0 ? x : 31 - x;
        for (int c = 0; c < 3; ++c) {
          pixels[(y * 32 + x) * 3 + c] =
              static_cast<uint8_t>(from * from / 4 + y * (i / 2 + 1) + c * 20);
        }
      }
    }
    ASSERT_TRUE(builder->Add(pixels, i % kClasses).ok());
  }
  ASSERT_TRUE(builder->Finish().ok());
  const std::string data =
      absl::StrCat("--set=data.val.path=", folder_, "/mirrored --scores=", folder_);
  const Outcome plain = Evaluate(1, data + "/plain.csv");
  ASSERT_EQ(plain.exit_code, 0) << plain.output;
  const Outcome flipped = Evaluate(1, data + "/flipped.csv --flip");
  ASSERT_EQ(flipped.exit_code, 0) << flipped.output;
  const auto without = Rows(folder_ + "/plain.csv"), with = Rows(folder_ + "/flipped.csv");
  ASSERT_EQ(with.size(), 8u);
  double difference = 0;
  for (size_t i = 0; i < with.size(); i += 2) {
    for (size_t c = 3; c < with[i].size(); ++c) {
      const double own = std::stod(without[i][c]), mirrored = std::stod(without[i + 1][c]);
      EXPECT_NEAR(std::stod(with[i][c]), std::stod(with[i + 1][c]), 1e-5);
      EXPECT_NEAR(std::stod(with[i][c]), (own + mirrored) / 2, 1e-5);
      difference += std::abs(own - mirrored);
    }
  }
  EXPECT_GT(difference, 1e-3);
}

TEST_F(EvaluateTest, RefusesFilesThatItCannotWriteBeforeItEvaluates) {
  Train();
  const Outcome ending = Evaluate(2, absl::StrCat("--scores=", folder_, "/scores.txt"));
  EXPECT_EQ(ending.exit_code, 2) << ending.output;
  EXPECT_THAT(ending.output, HasSubstr("--scores: " + folder_ +
                                       "/scores.txt: found another "
                                       "ending; expected a name that ends in .csv or .npy"));
  for (const char* flag : {"--output", "--scores"}) {
    const Outcome folder =
        Evaluate(2, absl::StrCat(flag, "=", folder_, "/nowhere/file.",
                                 std::string(flag) == "--scores" ? "csv" : "json"));
    EXPECT_NE(folder.exit_code, 0) << folder.output;
    EXPECT_THAT(folder.output, HasSubstr(absl::StrCat(flag, ": ")));
    EXPECT_THAT(folder.output, HasSubstr(folder_ + "/nowhere"));
    EXPECT_THAT(folder.output, testing::Not(HasSubstr("images, loss")));
  }
}

TEST_F(EvaluateTest, NamesTheComparedCheckpointThatItCannotRead) {
  Train();
  const Outcome outcome = Evaluate(2, absl::StrCat("--compare=", folder_, "/nowhere.pth"));
  EXPECT_EQ(outcome.exit_code, 2) << outcome.output;
  EXPECT_THAT(outcome.output, HasSubstr("--compare: "));
  EXPECT_THAT(outcome.output, HasSubstr("nowhere.pth"));
}

// A run's report shows the counts of its best validation.
TEST_F(EvaluateTest, ReportShowsTheCountsOfTheBestValidation) {
  Train();
  int64_t images = 0;
  for (const auto& record : Records("run")) {
    if (record["mode"] != "val") continue;
    ASSERT_EQ(record["confusion"].size(), static_cast<size_t>(kClasses));
    int64_t sum = 0;
    for (size_t label = 0; label < kClasses; ++label) {
      for (const auto& count : record["confusion"][label]) sum += count.get<int64_t>();
      EXPECT_EQ(record["confusion"][label][label], record["classes"]["correct"][label]);
    }
    EXPECT_EQ(sum, kImages);
    images += sum;
  }
  EXPECT_EQ(images, 3 * kImages);
  const std::string page = *ReadFile(folder_ + "/run/report.html");
  EXPECT_THAT(page, HasSubstr("aria-label=\"Confusion matrix\""));
  EXPECT_THAT(page, HasSubstr("the validation with the best accuracy"));
}

}  // namespace
}  // namespace finetune
