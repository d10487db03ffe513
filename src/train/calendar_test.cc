#include "src/train/calendar.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kPerEpoch = 5;
constexpr int64_t kLast = 13;  // in the middle of the third epoch

Calendar Make(const std::string& text, bool has_validation = true) {
  return Calendar(FromText<ExperimentConfig>(text), kPerEpoch, kLast, has_validation);
}

// Returns the iterations after which `is_due` is true.
std::vector<int64_t> When(const Calendar& calendar, bool (Calendar::*is_due)(int64_t) const) {
  std::vector<int64_t> when;
  for (int64_t i = 1; i <= kLast; ++i) {
    if ((calendar.*is_due)(i)) when.push_back(i);
  }
  return when;
}

TEST(CalendarTest, CountsEpochsFromOne) {
  const Calendar calendar = Make("");
  EXPECT_EQ(calendar.Epoch(1), 1);
  EXPECT_EQ(calendar.Epoch(5), 1);
  EXPECT_EQ(calendar.Epoch(6), 2);
  EXPECT_THAT(When(calendar, &Calendar::EpochEnds), ElementsAre(5, 10));
  EXPECT_THAT(When(calendar, &Calendar::RunEnds), ElementsAre(13));
}

TEST(CalendarTest, LogsByIntervalAndAtTheEndOfEpochsAndRun) {
  EXPECT_THAT(When(Make("runtime { log_interval: 4 }"), &Calendar::LogIsDue),
              ElementsAre(4, 5, 8, 10, 12, 13));
}

TEST(CalendarTest, ValidatesAfterEpochsAndAtTheEnd) {
  const auto validations = [](const std::string& schedule, bool has_validation = true) {
    return When(Make("schedule {" + schedule + "}", has_validation), &Calendar::ValidationIsDue);
  };
  EXPECT_THAT(validations(""), ElementsAre(5, 10, 13));
  EXPECT_THAT(validations("val_interval_epochs: 2"), ElementsAre(10, 13));
  EXPECT_THAT(validations("val_interval_iterations: 6"), ElementsAre(6, 12, 13));
  EXPECT_THAT(validations("val_interval_iterations: 6 val_interval_epochs: 0"), ElementsAre(6, 12));
  EXPECT_THAT(validations("val_interval_epochs: 0"), IsEmpty());
  EXPECT_THAT(validations("", /*has_validation=*/false), IsEmpty());
}

TEST(CalendarTest, ValidationsLeftAreThoseThatFollow) {
  for (const std::string schedule :
       {"", "val_interval_epochs: 2", "val_interval_epochs: 3", "val_interval_iterations: 6",
        "val_interval_iterations: 13", "val_interval_iterations: 1"}) {
    const Calendar calendar = Make("schedule {" + schedule + "}");
    int64_t left = 0;
    for (int64_t i = kLast; i >= 1; --i) {
      left += calendar.ValidationIsDue(i) ? 1 : 0;
      EXPECT_EQ(calendar.ValidationsLeft(i), left) << schedule << ", iteration " << i;
    }
  }
  EXPECT_EQ(Make("schedule { val_interval_epochs: 0 }").ValidationsLeft(1), 0);
}

TEST(CalendarTest, SavesAfterEpochsByIterationsAndAtTheEnd) {
  const auto checkpoints = [](const std::string& checkpoint) {
    return When(Make("runtime { checkpoint {" + checkpoint + "} }"), &Calendar::CheckpointIsDue);
  };
  EXPECT_THAT(checkpoints(""), ElementsAre(5, 10, 13));
  EXPECT_THAT(checkpoints("interval_epochs: 2"), ElementsAre(10, 13));
  EXPECT_THAT(checkpoints("interval_epochs: 0"), ElementsAre(13));
  EXPECT_THAT(checkpoints("interval_iterations: 4"), ElementsAre(4, 5, 8, 10, 12, 13));
}

TEST(CalendarTest, NamesCheckpointsByEpochWhereOneEnds) {
  EXPECT_EQ(Make("").CheckpointName(10), "epoch_2.pth");
  EXPECT_EQ(Make("").CheckpointName(12), "iter_12.pth");
}

}  // namespace
}  // namespace finetune
