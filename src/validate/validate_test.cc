#include "src/validate/validate.h"

#include <google/protobuf/descriptor.h>

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/base/test_folder.h"
#include "src/config/field_path.h"
#include "src/config/reference.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// A config without errors or warnings. Each test overrides the fields that it tests.
constexpr char kGood[] = R"(
model { backbone { resnet { depth: 18 stem: CIFAR } } head { num_classes: 10 topk: 1 } }
data {
  train { path: "d" split: "train" batch_size: 16 pipeline { normalize {} } }
  val { path: "d" split: "test" batch_size: 16 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.1 momentum: 0.9 } }
schedule { max_epochs: 20 multi_step { milestones: 15 } base_batch_size: 128 }
)";

RunFacts Facts() {
  RunFacts facts;
  facts.world_size = 8;
  facts.train = DataFacts{50000, 3, 32, 32};
  facts.val = DataFacts{10000, 3, 32, 32};
  facts.classes = ClassFacts{10, "the data in d"};
  return facts;
}

absl::StatusOr<std::vector<std::string>> Check(const std::vector<std::string>& overrides,
                                               const RunFacts& facts = Facts()) {
  const std::string path = absl::StrCat(testing::TempDir(), "/good.pbtxt");
  EXPECT_TRUE(WriteFileAtomically(path, kGood).ok());
  const auto loaded = LoadConfig(path, {.search_path = {}, .overrides = overrides});
  EXPECT_TRUE(loaded.ok()) << loaded.status();
  return ValidateConfig(*loaded, facts);
}

// Returns the error of one override, without the place, which would be the override itself.
std::string ErrorOf(const std::string& override_text, const RunFacts& facts = Facts()) {
  const auto result = Check({override_text}, facts);
  return absl::StrReplaceAll(result.status().message(),
                             {{absl::StrCat("--set=", override_text, ": "), ""}});
}

TEST(Validate, NothingIsWrongWithAGoodConfig) {
  const auto result = Check({});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result, IsEmpty());
}

TEST(Validate, ShippedConfigsAreValid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("configs")) {
    if (entry.path().extension() != ".pbtxt") continue;
    ++count;
    const auto loaded = LoadConfig(entry.path().string(), {});
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    RunFacts facts;
    facts.world_size = 8;
    const auto warnings = ValidateConfig(*loaded, facts);
    ASSERT_TRUE(warnings.ok()) << warnings.status();
    EXPECT_THAT(*warnings, IsEmpty());
  }
  EXPECT_GE(count, 4);
}

struct WrongConfig {
  const char* override_text;
  const char* message;
};

class Wrong : public testing::TestWithParam<WrongConfig> {};

TEST(Validate, AnEmptyStepIsToldEveryKindOfStep) {
  const std::string error = ErrorOf("data.train.pipeline={}");
  EXPECT_THAT(error, StartsWith("data.train.pipeline[0]: is empty; expected one of random_crop, "));
  const auto* kinds = TransformConfig::descriptor()->FindOneofByName("kind");
  for (int i = 0; i < kinds->field_count(); ++i) {
    EXPECT_THAT(error, HasSubstr(kinds->field(i)->name()));
  }
}

TEST_P(Wrong, IsRefusedWithThisMessage) {
  EXPECT_EQ(ErrorOf(GetParam().override_text), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Configs, Wrong,
    testing::Values(
        WrongConfig{"model.backbone.resnet.depth=51",
                    "model.backbone.resnet.depth: is 51; expected one of 18, 34, 50, 101, 152"},
        WrongConfig{"model.backbone.resnet.groups=32",
                    "model.backbone.resnet.groups: is 32; ResNet-18 has no bottlenecks, which this "
                    "would change; expected 1, or a depth of 50, 101 or 152"},
        WrongConfig{"model.backbone.frozen_stages=5",
                    "model.backbone.frozen_stages: is 5; expected -1 to 4: ResNet-18 has 4 stages "
                    "behind its stem"},
        WrongConfig{"model.head.num_classes=100",
                    "model.head.num_classes: is 100; the data in d has 10 classes"},
        WrongConfig{"model.head.topk=11",
                    "model.head.topk[0]: is 11; expected 1 to num_classes, which is 10"},
        WrongConfig{"model.head.label_smoothing=1",
                    "model.head.label_smoothing: is 1; expected at least 0 and less than 1"},
        WrongConfig{"model.backbone.pretrained.prefix=backbone",
                    "model.backbone.pretrained.checkpoint: is not set; give a path or URL, or "
                    "reset \"model.backbone.pretrained\""},
        WrongConfig{"data.train.path=",
                    "data.train.path: is not set; expected the folder that prepare_dataset wrote"},
        WrongConfig{"data.train.batch_size=0",
                    "data.train.batch_size: is 0; expected 1 to 1048576"},
        WrongConfig{"data.train.workers=0", "data.train.workers: is 0; expected 1 to 256"},
        WrongConfig{"data.val.drop_last=true",
                    "data.val.drop_last: leaves images out of the evaluation; only data.train "
                    "can have it"},
        WrongConfig{"data.train.pipeline={random_crop {size: 40 padding: 2}}",
                    "data.train.pipeline[0].random_crop.size: is 40; the image is 32x32 here "
                    "with 2 pixels around it"},
        WrongConfig{"data.train.pipeline={random_flip {probability: 2}}",
                    "data.train.pipeline[0].random_flip.probability: is 2; expected 0 to 1"},
        WrongConfig{"data.train.pipeline={resize {}}",
                    "data.train.pipeline[0].resize: expected size, or height and width"},
        WrongConfig{"data.train.pipeline=[{normalize {}}, {random_flip {}}]",
                    "data.train.pipeline[0].normalize: must be the pipeline's last step: the "
                    "others work on pixels"},
        WrongConfig{"data.train.pipeline={normalize {mean: 1 std: 1}}",
                    "data.train.pipeline[0].normalize: has 1 values of mean; the images have 3 "
                    "channels here"},
        WrongConfig{"data.train.pipeline={grayscale {channels: 2}}",
                    "data.train.pipeline[0].grayscale.channels: is 2; expected 1 or 3"},
        WrongConfig{"data.train.pipeline={random_grayscale {probability: nan}}",
                    "data.train.pipeline[0].random_grayscale.probability: is nan; expected 0 to 1"},
        WrongConfig{"data.val.sampling=CLASS_BALANCED",
                    "data.val.sampling: leaves images out of the evaluation; only data.train can "
                    "have it"},
        WrongConfig{"data.val.repeated_augmentation=2",
                    "data.val.repeated_augmentation: leaves images out of the evaluation; only "
                    "data.train can have it"},
        WrongConfig{"data.train.repeated_augmentation=200",
                    "data.train.repeated_augmentation: is 200; expected at most 128, the images "
                    "of a global batch, because all visits of an image are in one batch"},
        WrongConfig{"data.train.repeated_augmentation=0",
                    "data.train.repeated_augmentation: is 0; expected 1 to 256"},
        WrongConfig{"model.head.class_weights={weight: [1, 2]}",
                    "model.head.class_weights.weight: has 2 values; expected 10, one for each of "
                    "num_classes"},
        WrongConfig{"data.train.batch_transform={mixup {alpha: 0}}",
                    "data.train.batch_transform.mixup.alpha: is 0; expected more than 0"},
        WrongConfig{"data.train.batch_transform={}",
                    "data.train.batch_transform: has no kind; set mixup { } or cutmix { }"},
        WrongConfig{
            "data.val.batch_transform={mixup {}}",
            "data.val.batch_transform: mixes labels, so that no accuracy could be told; only "
            "data.train can have it"},
        WrongConfig{"data.train.pipeline=[{grayscale {channels: 3}}, {normalize {}}]",
                    "data.train.pipeline[1].normalize: has no mean and std, and the data's own are "
                    "those of red, green and blue, not of the grey that the pipeline makes of "
                    "them; give it both"},
        WrongConfig{"data.train.pipeline={normalize {mean: [1, nan, 1] std: [1, 1, 1]}}",
                    "data.train.pipeline[0].normalize.mean[1]: is nan; expected a finite number"},
        WrongConfig{"data.train.pipeline={normalize {mean: [1, 1, 1] std: [1, inf, 1]}}",
                    "data.train.pipeline[0].normalize.std[1]: is inf; expected a finite number"},
        WrongConfig{"optimizer.adamw={lr: 0.001 beta2: 1}",
                    "optimizer.adamw.beta2: is 1; expected at least 0 and less than 1"},
        WrongConfig{"optimizer.sgd.lr=-1", "optimizer.sgd.lr: is -1; expected 0 or more"},
        WrongConfig{"optimizer.sgd.lr=inf", "optimizer.sgd.lr: is inf; expected a finite number"},
        WrongConfig{"optimizer.sgd.lr=nan", "optimizer.sgd.lr: is nan; expected a finite number"},
        WrongConfig{"optimizer.sgd.momentum=nan",
                    "optimizer.sgd.momentum: is nan; expected at least 0 and less than 1"},
        WrongConfig{"optimizer.sgd.weight_decay=-inf",
                    "optimizer.sgd.weight_decay: is -inf; expected a finite number"},
        WrongConfig{"optimizer.clip_gradient.max_norm=inf",
                    "optimizer.clip_gradient.max_norm: is inf; expected a finite number"},
        WrongConfig{"optimizer.rule={match: \"a\" lr_multiplier: inf}",
                    "optimizer.rule[0].lr_multiplier: is inf; expected a finite number"},
        WrongConfig{"schedule.cosine.min_lr=inf",
                    "schedule.cosine.min_lr: is inf; expected a finite number"},
        WrongConfig{"schedule.warmup={epochs: 1 start_factor: nan}",
                    "schedule.warmup.start_factor: is nan; expected 0 to 1"},
        WrongConfig{"optimizer.rule={match: \"(\"}",
                    "optimizer.rule[0].match: is \"(\"; expected a regular expression in RE2's "
                    "syntax, and found: missing ): ("},
        WrongConfig{"model.neck.kind=NONE",
                    "model.neck.kind: is NONE; ResNet-18 ends in a feature map, which the linear "
                    "head can only take with GLOBAL_AVERAGE_POOLING"},
        WrongConfig{"name=", "name: is empty; the run's folder is named after it"},
        WrongConfig{"optimizer.sgd.momentum=1",
                    "optimizer.sgd.momentum: is 1; expected at least 0 and less than 1"},
        WrongConfig{"optimizer.clip_gradient.max_norm=0",
                    "optimizer.clip_gradient.max_norm: is 0; expected more than 0"},
        WrongConfig{"schedule.multi_step.milestones=[15, 10]",
                    "schedule.multi_step.milestones[1]: is 10 after 15; expected rising numbers"},
        WrongConfig{
            "schedule.multi_step.milestones=[30]",
            "schedule.multi_step.milestones[0]: is 30; the run ends after epoch 20 and would "
            "never reach it"},
        WrongConfig{"schedule.multi_step.gamma=inf",
                    "schedule.multi_step.gamma: is inf; expected a finite number"},
        WrongConfig{"schedule.cosine.min_lr=0.2",
                    "schedule.cosine.min_lr: is 0.2; the learning rate would rise to it from "
                    "optimizer.sgd.lr, 0.1"},
        WrongConfig{"schedule.warmup.iterations=-5",
                    "schedule.warmup.iterations: is -5; expected 0 or more"},
        WrongConfig{
            "schedule.warmup.epochs=20",
            "schedule.warmup.epochs: is 20; the run ends after epoch 20, before it is warm"},
        WrongConfig{"schedule.warmup={iterations: 5 start_factor: 2}",
                    "schedule.warmup.start_factor: is 2; expected 0 to 1"},
        WrongConfig{"runtime.log_interval=0", "runtime.log_interval: is 0; expected 1 or more"},
        WrongConfig{"schedule.early_stopping={}",
                    "schedule.early_stopping.patience: is not set; expected the number of "
                    "validations without improvement that end the run"},
        WrongConfig{"schedule.plateau={factor: 1}",
                    "schedule.plateau.factor: is 1; expected at least 0 and less than 1"},
        WrongConfig{"schedule.plateau={min_lr: 0.2}",
                    "schedule.plateau.min_lr: is 0.2; the learning rate would rise to it from "
                    "optimizer.sgd.lr, 0.1"},
        WrongConfig{"runtime.checkpoint.keep_best=0",
                    "runtime.checkpoint.keep_best: is 0; expected 1 to 1000"},
        WrongConfig{"model.head.focal={gamma: -1}",
                    "model.head.focal.gamma: is -1; expected 0 or more"},
        WrongConfig{"optimizer.lamb={lr: 0.1 beta1: 2}",
                    "optimizer.lamb.beta1: is 2; expected at least 0 and less than 1"},
        WrongConfig{"optimizer.rmsprop={lr: 0.1 epsilon: 0}",
                    "optimizer.rmsprop.epsilon: is 0; expected 1e-37 or more"},
        WrongConfig{"optimizer.swa={first_epoch: 0}",
                    "optimizer.swa.first_epoch: is 0; expected 1 or more"},
        WrongConfig{"model.backbone.resnet.drop_path=1",
                    "model.backbone.resnet.drop_path: is 1; expected at least 0 and less than 1"},
        WrongConfig{
            "comm.timeout_seconds=5",
            "comm.timeout_seconds: is 5; expected at least stall_warning_seconds, which is 30"},
        WrongConfig{"comm.timeout_seconds=inf",
                    "comm.timeout_seconds: is inf; expected a finite number"},
        WrongConfig{"comm.stall_warning_seconds=nan",
                    "comm.stall_warning_seconds: is nan; expected a finite number"},
        WrongConfig{"comm.bucket_mebibytes=inf",
                    "comm.bucket_mebibytes: is inf; expected 0.001 to 65536"}));

TEST(Validate, AnAverageOfEpochsNeedsTheEndOfTheWholeRun) {
  EXPECT_THAT(
      std::string(
          Check({"optimizer.swa={first_epoch: 9}", "schedule.max_epochs=8"}).status().message()),
      HasSubstr("optimizer.swa.first_epoch: is 9; the run ends after epoch 8 and would "
                "never average"));
  EXPECT_THAT(
      std::string(Check({"optimizer.swa={first_epoch: 1}", "schedule.early_stopping={patience: 2}"})
                      .status()
                      .message()),
      HasSubstr("schedule.early_stopping: does not go with optimizer.swa "
                "(--set=optimizer.swa={first_epoch: 1})"));
}

TEST(Validate, AllErrorsComeTogetherEachWithItsPlace) {
  const auto result = Check({"optimizer.sgd.lr=-1", "model.backbone.frozen_stages=9"});
  EXPECT_EQ(
      result.status().message(),
      "--set=model.backbone.frozen_stages=9: model.backbone.frozen_stages: is 9; expected -1 to 4: "
      "ResNet-18 has 4 stages behind its stem\n"
      "--set=optimizer.sgd.lr=-1: optimizer.sgd.lr: is -1; expected 0 or more");
}

// The warning about a batch that does not fit the learning rate advises to set total_batch_size.
// This test follows the advice.
TEST(Validate, OneBatchSizeTakesTheOthersPlace) {
  RunFacts facts = Facts();
  facts.world_size = 3;
  const auto result = Check({"data.train.total_batch_size=128"}, facts);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(*result, IsEmpty());
}

TEST(Validate, ClassBalancedSamplingNeedsShuffle) {
  const auto result = Check({"data.train.sampling=CLASS_BALANCED", "data.train.shuffle=false"});
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("data.train.sampling: is CLASS_BALANCED, which takes random images; "
                        "data.train.shuffle (--set=data.train.shuffle=false) is false"));
}

TEST(Validate, WarnsWhereSmallClassesAreFavouredTwice) {
  const auto result =
      Check({"data.train.sampling=CLASS_BALANCED", "model.head.class_weights={rule: BALANCED}"});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->size(), 1u);
  EXPECT_THAT(result->front(), HasSubstr("small classes are favoured twice"));
  EXPECT_THAT(*Check({"data.train.sampling=CLASS_BALANCED"}), IsEmpty());
}

TEST(Validate, WarnsOfANeckWithoutEffect) {
  const std::string vit = "model.backbone.vit={}";
  const auto result = Check({vit, "model.neck.kind=GLOBAL_AVERAGE_POOLING"});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->size(), 1u);
  EXPECT_THAT(result->front(), HasSubstr("is GLOBAL_AVERAGE_POOLING, which has no effect: ViT-S/16 "
                                         "ends in vectors; set NONE"));
  EXPECT_THAT(*Check({vit, "model.neck.kind=NONE"}), IsEmpty());
  EXPECT_THAT(*Check({vit}), IsEmpty());
}

TEST(Validate, WarnsOfEachRandomAugmentationOfDataVal) {
  const std::string steps =
      "pipeline=[{random_crop {size: 32}}, {color_jitter {brightness: 0.2}}, {normalize {}}]";
  const auto result = Check({"data.val." + steps});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->size(), 2u);
  EXPECT_EQ(result->front(), absl::StrCat("--set=data.val.", steps,
                                          ": data.val.pipeline[0].random_crop: is a random "
                                          "augmentation, so the accuracy is that of changed "
                                          "images; expected none in data.val. Usual are "
                                          "resize_edge and center_crop, or resize"));
  EXPECT_THAT(result->back(), HasSubstr("data.val.pipeline[1].color_jitter: is a random"));
}

TEST(Validate, IsSilentOnRandomAugmentationsInTrainingAndOnUsualStepsInDataVal) {
  EXPECT_THAT(*Check({"data.train.pipeline=[{random_flip {}}, {normalize {}}]",
                      "data.val.pipeline=[{resize_edge {size: 40}}, {center_crop {size: 32}}, "
                      "{normalize {}}]"}),
              IsEmpty());
}

TEST(Validate, DecisionsByValidationsNeedValidations) {
  const auto error = [](const std::string& decision, const std::string& without) {
    return std::string(Check({decision, without}).status().message());
  };
  for (const std::string decision :
       {"schedule.early_stopping={patience: 2}", "schedule.plateau={}"}) {
    const std::string field = decision.substr(0, decision.find('='));
    EXPECT_TRUE(Check({decision}).ok());
    EXPECT_THAT(error(decision, "schedule.val_interval_epochs=0"),
                HasSubstr(field + ": needs validations, and schedule.val_interval_epochs "
                                  "(--set=schedule.val_interval_epochs=0) is 0"));
  }
}

TEST(Validate, Top5DecidesOnlyWhereItIsCounted) {
  for (const std::string& text : {std::string("runtime.checkpoint.best_metric=TOP5"),
                                  std::string("schedule.early_stopping={patience: 2 metric: TOP5}"),
                                  std::string("schedule.plateau={metric: TOP5}")}) {
    EXPECT_THAT(std::string(Check({text}).status().message()), HasSubstr("lacks 5: add it"));
    EXPECT_TRUE(Check({text, "model.head.topk=[1, 5]"}).ok());
  }
}

TEST(Validate, WarnsWhereTheRunEndsBeforeThePlateau) {
  const auto warned = Check(
      {"schedule.early_stopping={patience: 3 metric: LOSS}", "schedule.plateau={patience: 3}"});
  ASSERT_TRUE(warned.ok()) << warned.status();
  ASSERT_EQ(warned->size(), 1u);
  EXPECT_THAT(warned->front(), HasSubstr("the run ends before the learning rate falls"));
  EXPECT_THAT(*Check({"schedule.early_stopping={patience: 4 metric: LOSS}",
                      "schedule.plateau={patience: 3}"}),
              IsEmpty());
}

TEST(Validate, SeveralBestCheckpointsNeedSaveBest) {
  const auto result =
      Check({"runtime.checkpoint.keep_best=2", "runtime.checkpoint.save_best=false"});
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("runtime.checkpoint.keep_best: is 2, and runtime.checkpoint.save_best "
                        "(--set=runtime.checkpoint.save_best=false) is false: drop one of them"));
}

TEST(Validate, TheFocalLossNeedsLabelsThatAreCertain) {
  const auto result = Check({"model.head.focal={}", "data.train.batch_transform={mixup {}}"});
  EXPECT_THAT(std::string(result.status().message()),
              HasSubstr("data.train.batch_transform: mixes labels, and model.head.focal "
                        "(--set=model.head.focal={}) is defined for labels that are certain"));
  EXPECT_TRUE(Check({"model.head.bce={}", "data.train.batch_transform={mixup {}}"}).ok());
}

TEST(Validate, ABatchTransformNeedsTwoImages) {
  RunFacts facts = Facts();
  facts.world_size = 1;
  const std::string mixup = "data.train.batch_transform={mixup {}}";
  EXPECT_EQ(Check({"data.train.batch_size=1", mixup}, facts).status().message(),
            "--set=data.train.batch_transform={mixup {}}: data.train.batch_transform: mixes two "
            "images of a batch, and a batch has 1 here; expected 2 or more");
  // One image per rank is enough, because it is mixed with the other rank's image.
  facts.world_size = 2;
  EXPECT_TRUE(Check({"data.train.batch_size=1", mixup}, facts).ok());
}

TEST(Validate, NormalizeGoesByTheChannelsThatGrayscaleMakes) {
  RunFacts facts = Facts();
  facts.train->channels = facts.val->channels = 1;
  const auto check = [&](const std::string& normalize) {
    return Check(
        {"data.train.pipeline=[{grayscale {channels: 3}}, {normalize {" + normalize + "}}]"},
        facts);
  };
  EXPECT_TRUE(check("").ok()) << check("").status();
  EXPECT_TRUE(check("mean: [1, 2, 3] std: [1, 2, 3]").ok());
  EXPECT_FALSE(check("mean: 1 std: 1").ok());
}

TEST(Validate, SaysHowManyStagesANetworkHas) {
  const auto result = Check({"model.backbone.lenet5={}", "model.backbone.frozen_stages=3"});
  EXPECT_THAT(std::string(result.status().message()),
              testing::HasSubstr("model.backbone.frozen_stages: is 3; expected -1 to 2: LeNet-5 "
                                 "has 2 stages behind its stem"));
}

// A schedule for a total batch of 128 images must not run unnoticed on one rank with 16.
TEST(Validate, ABatchThatTheLearningRateWasNotChosenForIsReported) {
  RunFacts facts = Facts();
  facts.world_size = 1;
  const auto result = Check({"optimizer.sgd.lr=0.1"}, facts);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->size(), 1u);
  EXPECT_THAT(result->front(),
              testing::HasSubstr("the learning rate 0.1 was chosen for 128 images an iteration; "
                                 "this run takes 1 x 16 = 16. Start "
                                 "with --set=schedule.auto_scale_lr=true for a rate of 0.0125, or "
                                 "with --set=data.train.total_batch_size=128"));
  EXPECT_THAT(*Check({"schedule.auto_scale_lr=true"}, facts), IsEmpty());
}

TEST(Validate, RecordedStepsHaveNoRandomDraws) {
  EXPECT_THAT(
      std::string(Check({"runtime.cuda_graph=true", "model.head.dropout=0.5"}).status().message()),
      testing::HasSubstr("runtime.cuda_graph: does not go with model.head.dropout "
                         "(--set=model.head.dropout=0.5), whose draws a recorded step "
                         "would repeat: drop one of them"));
  for (const std::string draws :
       {"resnet.drop_path", "efficientnet_lite.drop_path", "efficientnet.drop_path",
        "efficientnet_v2.drop_path", "convnext.drop_path", "vit.drop_path", "swin.drop_path",
        "vgg.hidden_dropout"}) {
    const std::string field = "model.backbone." + draws;
    EXPECT_THAT(std::string(Check({"runtime.cuda_graph=true", field + "=0.5"}).status().message()),
                testing::HasSubstr("runtime.cuda_graph: does not go with " + field +
                                   " (--set=" + field + "=0.5)"));
  }
}

TEST(Validate, RecordedStepsAreForGpusAndHaveNoSumsInTheirMiddle) {
  EXPECT_THAT(
      std::string(Check({"runtime.cuda_graph=true", "runtime.device=CPU"}).status().message()),
      testing::HasSubstr("runtime.cuda_graph: is for GPUs; runtime.device "
                         "(--set=runtime.device=CPU) is CPU"));
  EXPECT_THAT(
      std::string(
          Check({"runtime.cuda_graph=true", "comm.sync_batch_norm=true"}).status().message()),
      testing::HasSubstr("runtime.cuda_graph: does not go with comm.sync_batch_norm "
                         "(--set=comm.sync_batch_norm=true), which sums over the ranks in the "
                         "middle of a step: drop one of them"));
  EXPECT_TRUE(Check({"runtime.cuda_graph=true"}).ok());
}

// A recorded step would replay the same random numbers in each iteration.
TEST(Validate, RefusesRecordedStepsWithDropout) {
  const std::string message(
      Check({"runtime.cuda_graph=true", "model.head.dropout=0.1"}).status().message());
  EXPECT_EQ(message,
            "--set=runtime.cuda_graph=true: runtime.cuda_graph: does not go with "
            "model.head.dropout (--set=model.head.dropout=0.1), whose draws a recorded step would "
            "repeat: drop one of them");
  EXPECT_TRUE(Check({"runtime.cuda_graph=true", "model.head.dropout=0"}).ok());
}

TEST(Validate, AWarmupThatOutlastsTheRunIsReported) {
  // The run has 20 epochs of ceil(50000 / 128) = 391 iterations, 7820 in all.
  const auto result = Check({"schedule.warmup.iterations=7820"});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->size(), 1u);
  EXPECT_THAT(result->front(),
              testing::HasSubstr("schedule.warmup.iterations: is 7820; the run ends after "
                                 "iteration 7820, before it is warm"));
  EXPECT_THAT(*Check({"schedule.warmup.iterations=7819"}), IsEmpty());
}

TEST(Validate, ABatchSmallerThanTheRanksIsRefused) {
  const std::string path = absl::StrCat(testing::TempDir(), "/small.pbtxt");
  ASSERT_TRUE(WriteFileAtomically(
                  path, absl::StrReplaceAll(kGood, {{"batch_size: 16", "total_batch_size: 4"}}))
                  .ok());
  const auto loaded = LoadConfig(path, {});
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(std::string(ValidateConfig(*loaded, Facts()).status().message()),
              testing::HasSubstr("data.train.total_batch_size: is 4 and there are 8 ranks; each "
                                 "needs one image at least: start "
                                 "fewer ranks"));
}

// Returns the errors of a file with this text, as the commands report them.
std::string AllErrorsOf(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const std::string folder = EmptyTestFolder();
  EXPECT_TRUE(WriteFileAtomically(folder + "/x.pbtxt", text).ok());
  const auto loaded = LoadConfig(folder + "/x.pbtxt", {{}, overrides, FindWrongValues});
  return absl::StrReplaceAll(loaded.status().message(), {{folder + "/", ""}});
}

TEST(Validate, WrongValuesAreReportedTogetherWithErrorsOfTheText) {
  EXPECT_EQ(AllErrorsOf("model { backbone { resnet { depth: 51 } frozen_stage: 2 }\n"
                        "  head { num_classes: 10 dropout: 1.5 } }\n"
                        "data { train { workers: 0\n"
                        "  pipeline { random_flip { probability: 2 } } } }\n"
                        "optimizer { sgd { lr: -1 momentum: nan } }",
                        {"schedule.one_cycle.pct_start=1", "runtime.thread=2"}),
            "x.pbtxt:1:41: frozen_stage: no such field in BackboneConfig; did you mean "
            "frozen_stages?\n"
            "--set=runtime.thread=2: runtime.thread: no such field in RuntimeConfig; did you mean "
            "threads?\n"
            "x.pbtxt:1:29: model.backbone.resnet.depth: is 51; expected one of 18, 34, 50, 101, "
            "152\n"
            "x.pbtxt:2:26: model.head.dropout: is 1.5; expected at least 0 and less than 1\n"
            "x.pbtxt:3:16: data.train.workers: is 0; expected 1 to 256\n"
            "x.pbtxt:4:28: data.train.pipeline[0].random_flip.probability: is 2; expected 0 to 1\n"
            "x.pbtxt:5:19: optimizer.sgd.lr: is -1; expected 0 or more\n"
            "x.pbtxt:5:26: optimizer.sgd.momentum: is nan; expected at least 0 and less than 1\n"
            "--set=schedule.one_cycle.pct_start=1: schedule.one_cycle.pct_start: is 1; expected at "
            "least 0 and less than 1");
}

// Each of these would be an error if the misspelled field were really missing.
TEST(Validate, AMisspelledFieldIsNotReportedAsMissingOrContradicted) {
  struct Case {
    std::string right, wrong;
  };
  for (const auto& [right, wrong] : std::vector<Case>{
           {"num_classes: 10", "num_clases: 10"},  // required; topk is compared with it
           {"resnet { depth: 18 stem: CIFAR }", "resnett { depth: 18 stem: CIFAR }"},
           {"batch_size: 16", "bath_size: 16"},
           {"lr: 0.1", "lrr: 0.1"},
           {"nesterov: true momentum: 0.9", "nesterov: true momentun: 0.9"},
           {"max_epochs: 20", "max_epoch: 20"},
           {"first_epochs: 5", "first_epoch: 5"},
           {"min_area: 0.01", "min_aera: 0.01"},  // max_area is below min_area's default
           {"size: 32", "siz: 32"}}) {
    std::string text = R"(
model { backbone { resnet { depth: 18 stem: CIFAR } } head { num_classes: 10 topk: 7 } }
data {
  train { path: "d" split: "train" batch_size: 16
    pipeline { random_crop { size: 32 } }
    pipeline { random_erasing { min_area: 0.01 max_area: 0.015 } } pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.1 nesterov: true momentum: 0.9 } }
schedule { max_epochs: 20 cosine_restarts { first_epochs: 5 } }
)";
    EXPECT_EQ(AllErrorsOf(text), "");
    ASSERT_THAT(text, HasSubstr(right));
    const std::string errors = AllErrorsOf(absl::StrReplaceAll(text, {{right, wrong}}));
    EXPECT_THAT(errors, HasSubstr("no such field"));
    EXPECT_THAT(errors, testing::Not(HasSubstr("\n"))) << wrong;
  }
}

// Returns the texts of --set that give a number field this value. Some fields are checked only
// beside another one, or in a list of its full length.
std::vector<std::string> SetNumber(const std::string& path,
                                   const google::protobuf::FieldDescriptor& field,
                                   const std::string& value) {
  const std::string message = path.substr(0, path.rfind('.'));
  if (message == "optimizer.rule[0]") {
    return {absl::StrCat("optimizer.rule={match: \"a\" ", field.name(), ": ", value, "}")};
  }
  if (!field.is_repeated()) {
    std::vector<std::string> overrides = {absl::StrCat(path, "=", value)};
    // A size is given as one number or two.
    for (const auto& [side, other] : {std::pair("height", "width"), std::pair("width", "height")}) {
      if (field.name() == side && field.containing_type()->FindFieldByName(other) != nullptr) {
        overrides.push_back(absl::StrCat(message, ".", other, "=8"));
      }
    }
    return overrides;
  }
  const std::map<std::string, int> lengths = {
      {"weight", 10}, {"eigenvalue", 3}, {"eigenvector", 9}, {"mean", 3}, {"std", 3}};
  const auto length = lengths.find(field.name());
  std::string list = value;
  for (int i = 1; length != lengths.end() && i < length->second; ++i) list += ", 1";
  std::vector<std::string> overrides = {absl::StrCat(path, "=[", list, "]")};
  if (absl::EndsWith(message, "normalize")) {
    overrides.push_back(
        absl::StrCat(message, field.name() == "mean" ? ".std" : ".mean", "=[1, 1, 1]"));
  }
  return overrides;
}

// Every number of the config has a check that refuses what no setting means.
TEST(Validate, EveryNumberRefusesNanInfinityAndNegativeCounts) {
  // Fields that may be negative.
  const std::set<std::string> with_sign = {"frozen_stages", "min_degrees", "max_degrees",
                                           "mean",          "eigenvalue",  "eigenvector"};
  int numbers = 0;
  for (const ValueField& value_field : ValueFields()) {
    const auto steps = ResolvePath(value_field.path);
    ASSERT_TRUE(steps.ok()) << steps.status();
    const google::protobuf::FieldDescriptor& field = *steps->back().field;
    std::vector<std::string> values;
    switch (field.cpp_type()) {
      case google::protobuf::FieldDescriptor::CPPTYPE_FLOAT:
      case google::protobuf::FieldDescriptor::CPPTYPE_DOUBLE:
        values = {"nan", "inf", "-inf"};
        break;
      case google::protobuf::FieldDescriptor::CPPTYPE_INT32:
      case google::protobuf::FieldDescriptor::CPPTYPE_INT64:
        values = {"-2147483648"};
        break;
      default:
        continue;
    }
    // A focal loss without a weight has alpha -1.
    const bool may_be_negative =
        with_sign.contains(field.name()) || value_field.path == "model.head.focal.alpha";
    if (!may_be_negative) values.emplace_back("-1");
    ++numbers;
    for (const std::string& value : values) {
      const auto result = Check(SetNumber(value_field.path, field, value));
      EXPECT_THAT(std::string(result.status().message()),
                  HasSubstr(absl::StrCat(": ", value_field.path, field.is_repeated() ? "[0]" : "",
                                         ": is ", value)))
          << value_field.path << " = " << value;
    }
  }
  EXPECT_GT(numbers, 100);
}

// A check of a pair of fields names the one that is wrong, and gives no empty range.
TEST(Validate, OneWrongFieldOfAPairIsOneError) {
  EXPECT_EQ(ErrorOf("data.train.pipeline={random_resized_crop {size: 32 min_area: 2}}"),
            "data.train.pipeline[0].random_resized_crop.min_area: is 2; expected 0 to 1");
  EXPECT_EQ(ErrorOf("data.train.pipeline={random_erasing {min_ratio: 0}}"),
            "data.train.pipeline[0].random_erasing.min_ratio: is 0; expected 0.0001 to 10000");
  EXPECT_EQ(ErrorOf("data.train.pipeline={random_erasing {min_ratio: 5}}"),
            "data.train.pipeline[0].random_erasing.max_ratio: is 3.3; expected at least min_ratio, "
            "which is 5");
  EXPECT_EQ(ErrorOf("data.train.pipeline={gaussian_blur {kernel_size: 3 min_sigma: 20000}}"),
            "data.train.pipeline[0].gaussian_blur.max_sigma: is 2; expected at least min_sigma, "
            "which is 20000");
  EXPECT_EQ(ErrorOf("optimizer.layer_decay=0"),
            "optimizer.layer_decay: is 0; expected more than 0 and at most 1");
  EXPECT_EQ(ErrorOf("optimizer.clip_gradient={}"), "optimizer.clip_gradient.max_norm: is not set");
}

TEST(Validate, SizesThatAreNotKnownAreNotSizesThatDiffer) {
  const std::string grey = "data.train.pipeline=[{grayscale {}}, {normalize {mean: 1 std: 1}}]";
  EXPECT_TRUE(Check({grey}, RunFacts()).ok());
  // A wrong step leaves the size unknown too.
  EXPECT_EQ(ErrorOf("data.train.pipeline=[{random_crop {size: 0}}, {grayscale {}}]"),
            "data.train.pipeline[0].random_crop.size: is 0; expected 1 to 8192");
}

TEST(Validate, PeriodsInEpochsAreComparedWithARunInIterations) {
  // An epoch has 391 iterations.
  const auto result =
      Check({"schedule.max_iterations=1000", "schedule.cosine_restarts={first_epochs: 1}"});
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->size(), 1u);
  EXPECT_THAT(result->front(), HasSubstr("a run of 782 or 1173 iterations ends with a period"));
  EXPECT_THAT(
      *Check({"schedule.max_iterations=1173", "schedule.cosine_restarts={first_epochs: 1}"}),
      IsEmpty());
}

}  // namespace
}  // namespace finetune
