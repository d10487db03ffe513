#include "src/train/data_identity.h"

#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/checkpoint/own_checkpoint.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

DataIdentity Pets() {
  DataIdentity identity;
  identity.classes = {"apple", "bear", "cat"};
  identity.statistics = PixelStatistics{{123.675, 1.0 / 3, 0}, {58.4, 1, 2}};
  identity.train = SplitIdentity{"train", "aa", 30, 3, 32, 32};
  identity.val = SplitIdentity{"test", "bb", 12, 3, 32, 32};
  return identity;
}

Value MetaOf(const DataIdentity& identity) {
  Value::Dict meta;
  meta.Append("writer", "finetune 1");
  AppendTo(identity, &meta);
  return meta;
}

TEST(DataIdentityTest, IsNotReadFromACheckpointOfANewerFormat) {
  Value::Dict meta;
  meta.Append("writer", "finetune 9.8.7");
  meta.Append("format_version", kCheckpointFormatVersion + 1);
  AppendTo(Pets(), &meta);
  EXPECT_THAT(std::string(ReadDataIdentity(meta).status().message()),
              HasSubstr("meta.format_version: is 2, written by finetune 9.8.7"));
}

TEST(DataIdentityTest, ComesBackFromACheckpointsMetaExactly) {
  const absl::StatusOr<DataIdentity> read = ReadDataIdentity(MetaOf(Pets()));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->classes, Pets().classes);
  ASSERT_TRUE(read->statistics.has_value());
  EXPECT_EQ(read->statistics->mean, Pets().statistics->mean);
  EXPECT_EQ(read->statistics->std, Pets().statistics->std);
  EXPECT_THAT(CompareData(*read, Pets()).sentences, IsEmpty());
  ASSERT_TRUE(read->train.has_value() && read->val.has_value());
}

TEST(DataIdentityTest, AnUnnormalisedPipelineIsNotAnUnknownOne) {
  DataIdentity identity = Pets();
  identity.statistics = PixelStatistics();
  ASSERT_TRUE(ReadDataIdentity(MetaOf(identity))->statistics.has_value());
  identity.statistics.reset();
  EXPECT_FALSE(ReadDataIdentity(MetaOf(identity))->statistics.has_value());
}

TEST(DataIdentityTest, FindsTheClassesOfMmpretrain) {
  Value::Dict old;
  old.Append("CLASSES", Value::List{"a", "b"});
  EXPECT_THAT(ReadDataIdentity(old)->classes, ElementsAre("a", "b"));
  Value::Dict dataset, newer;
  dataset.Append("classes", Value::List{"a", "b"});
  newer.Append("dataset_meta", dataset);
  EXPECT_THAT(ReadDataIdentity(newer)->classes, ElementsAre("a", "b"));
}

TEST(DataIdentityTest, OtherProgramsMetaMayHoldAnything) {
  for (const Value& meta : {Value(), Value(3), Value(Value::Dict())}) {
    const absl::StatusOr<DataIdentity> read = ReadDataIdentity(meta);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_THAT(read->classes, IsEmpty());
    EXPECT_FALSE(read->statistics.has_value());
  }
  Value::Dict odd;
  odd.Append("CLASSES", Value::List{"a", 3});
  odd.Append("data", "anything");
  const absl::StatusOr<DataIdentity> read = ReadDataIdentity(odd);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_THAT(read->classes, IsEmpty());
}

TEST(DataIdentityTest, RefusesStatisticsThatCannotBe) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const std::vector<double>& std : {std::vector<double>{1, 0, 1}, {1, nan, 1}, {1, 1}}) {
    DataIdentity identity = Pets();
    identity.statistics->std = std;
    const absl::Status status = ReadDataIdentity(MetaOf(identity)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("meta.data: "));
  }
}

TEST(DataIdentityTest, RefusesOwnEntriesOfAnotherKindOrBeyondTheLimits) {
  const auto error = [](const Value& meta) {
    return std::string(ReadDataIdentity(meta).status().message());
  };
  Value::Dict meta;
  meta.Append("writer", "finetune 0.1.0");
  meta.Append("CLASSES", Value::List{"a", 3});
  EXPECT_THAT(error(meta), HasSubstr("meta: \"CLASSES\""));

  Value::Dict data;
  data.Append("mean", "none");
  data.Append("std", Value::List());
  Value::Dict other;
  other.Append("writer", "finetune 0.1.0");
  other.Append("data", data);
  EXPECT_THAT(error(other), HasSubstr("meta.data: \"mean\" is not a list of numbers"));

  DataIdentity identity = Pets();
  identity.val->height = int64_t{1} << 40;
  EXPECT_THAT(error(MetaOf(identity)), HasSubstr("meta.data: has images of 1099511627776x32"));
  identity = Pets();
  identity.train->channels = (int64_t{1} << 32) + 3;
  EXPECT_THAT(error(MetaOf(identity)), HasSubstr("expected sides of 0 to 67108864 and 1 or 3"));
}

TEST(DataIdentityTest, SaysWhichClassesDiffer) {
  DataIdentity now = Pets();
  now.classes = {"apple", "Bear", "cat"};
  now.train->digest = "cc";
  const DataDifference renamed = CompareData(Pets(), now);
  EXPECT_THAT(renamed.sentences,
              ElementsAre("the classes differ; new: \"Bear\"; missing: \"bear\""));
  EXPECT_FALSE(renamed.renumbered);

  now.classes = {"cat", "bear", "apple"};
  EXPECT_TRUE(CompareData(Pets(), now).renumbered);
}

// The class "apple" was renamed "zebra", so the sorted names get different numbers.
TEST(DataIdentityTest, SaysWhichClassesHaveOtherNumbers) {
  DataIdentity now = Pets();
  now.classes = {"bear", "cat", "zebra"};
  const DataDifference difference = CompareData(Pets(), now);
  EXPECT_TRUE(difference.renumbered);
  EXPECT_THAT(difference.sentences,
              ElementsAre("the classes differ; new: \"zebra\"; missing: \"apple\"; "
                          "renumbered: \"bear\" (0, in the checkpoint 1), \"cat\" (1, in "
                          "the checkpoint 2)"));
}

TEST(DataIdentityTest, SaysHowASplitDiffers) {
  DataIdentity now = Pets();
  now.train = SplitIdentity{"train", "cc", 27, 3, 32, 32};
  EXPECT_THAT(CompareData(Pets(), now).sentences,
              ElementsAre("data.train: it has 27 images; it had 30"));
  EXPECT_FALSE(CompareData(Pets(), now).val_differs);

  now = Pets();
  now.val = SplitIdentity{"val", "cc", 12, 1, 28, 28};
  EXPECT_THAT(CompareData(Pets(), now).sentences,
              ElementsAre("data.val: the split is \"val\"; it was \"test\"; images are 28x28 "
                          "with 1 channel; they were 32x32 with 3 channels"));
  EXPECT_TRUE(CompareData(Pets(), now).val_differs);

  now = Pets();
  now.val->digest = "cc";
  EXPECT_THAT(CompareData(Pets(), now).sentences,
              ElementsAre(HasSubstr("data.val: the checksums of its shards")));
}

TEST(DataIdentityTest, AnOlderCheckpointDiffersInNothingItDoesNotSay) {
  EXPECT_THAT(CompareData(DataIdentity(), Pets()).sentences, IsEmpty());
  // Validation data in only one of the two runs are not a difference.
  DataIdentity without = Pets();
  without.val.reset();
  EXPECT_THAT(CompareData(without, Pets()).sentences, IsEmpty());
  EXPECT_THAT(CompareData(Pets(), without).sentences, IsEmpty());
}

TEST(DataIdentityTest, AHeadIsTakenOnlyForItsOwnClassesInTheirOrder) {
  const auto same = CheckHeadClasses(Pets(), {"apple", "bear", "cat"});
  ASSERT_TRUE(same.ok()) << same.status();
  EXPECT_EQ(*same, "");
  for (const ClassNames& classes : {ClassNames{"cat", "bear", "apple"}, {"apple", "bear", "dog"}}) {
    const absl::Status status = CheckHeadClasses(Pets(), classes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("or leave out with_head"));
  }
}

TEST(DataIdentityTest, AHeadWithoutClassNamesIsTakenAndTheLogSaysForWhich) {
  const auto note = CheckHeadClasses(DataIdentity(), {"apple", "bear"});
  ASSERT_TRUE(note.ok()) << note.status();
  EXPECT_EQ(*note,
            "it does not name the classes of its head; output i is taken for class i of the "
            "training data: \"apple\", \"bear\"");
}

}  // namespace
}  // namespace finetune
