#include "src/optim/plateau.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/optim/early_stopping.h"
#include "src/optim/validation_metric.h"
#include "src/testing/errors_of.h"
#include "src/testing/from_text.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

PlateauLrConfig PlateauOf(const nlohmann::json& settings) {
  PlateauLrConfig config;
  config.set_patience(settings["patience"]);
  if (settings.value("mode", "min") == "max") config.set_metric(TOP1);
  if (settings.contains("factor")) config.set_factor(settings["factor"]);
  if (settings.contains("threshold")) config.set_threshold(settings["threshold"]);
  if (settings.contains("threshold_mode")) config.set_threshold_mode(PlateauLrConfig::ABSOLUTE);
  if (settings.contains("cooldown")) config.set_cooldown(settings["cooldown"]);
  if (settings.contains("min_lr")) config.set_min_lr(settings["min_lr"]);
  return config;
}

// The fixture holds the rates of torch.optim.lr_scheduler.ReduceLROnPlateau, written by
// tests/fixtures/optim/make_fixtures.py.
TEST(Plateau, RatesArePyTorchs) {
  std::ifstream file("tests/fixtures/optim/plateau.json");
  ASSERT_TRUE(file) << "tests/fixtures/optim/plateau.json is not there";
  const nlohmann::json fixture = nlohmann::json::parse(file);
  ASSERT_EQ(fixture["cases"].size(), 8u);
  for (const nlohmann::json& one : fixture["cases"]) {
    SCOPED_TRACE(one["settings"].dump());
    const Plateau plateau(PlateauOf(one["settings"]));
    PlateauState state;
    for (size_t i = 0; i < one["values"].size(); ++i) {
      plateau.Observe(one["values"][i], &state);
      EXPECT_DOUBLE_EQ(plateau.RateAfter(state.reductions, 0.1), one["rates"][i].get<double>())
          << "validation " << i;
    }
  }
}

TEST(Plateau, CheckReportsEveryFieldThatIsWrong) {
  const auto errors = [](const std::string& text) {
    return ErrorsOf(Plateau::Check, "schedule.plateau", text);
  };
  EXPECT_THAT(errors(""), IsEmpty());
  EXPECT_THAT(
      errors("factor: 1 patience: -1 threshold: -1 cooldown: -2 min_lr: -0.5"),
      ElementsAre(Problem{"schedule.plateau.factor", "is 1; expected at least 0 and less than 1"},
                  Problem{"schedule.plateau.patience", "is -1; expected 0 or more"},
                  Problem{"schedule.plateau.threshold", "is -1; expected 0 or more"},
                  Problem{"schedule.plateau.cooldown", "is -2; expected 0 or more"},
                  Problem{"schedule.plateau.min_lr", "is -0.5; expected 0 or more"}));
  EXPECT_THAT(errors("factor: 0"),
              ElementsAre(Problem{"schedule.plateau.factor", "is 0; expected more than 0"}));
}

// Returns the number of validations after which the run ends; 0 if it does not.
size_t EndsAfter(const std::string& config, bool higher_is_better,
                 const std::vector<double>& values) {
  const EarlyStopping stopping(FromText<EarlyStoppingConfig>(config), higher_is_better);
  EarlyStoppingState state;
  for (size_t i = 0; i < values.size(); ++i) {
    stopping.Observe(values[i], static_cast<int64_t>(i), &state);
    if (stopping.IsOver(state)) return i + 1;
  }
  return 0;
}

TEST(EarlyStopping, EndsAfterSoManyValidationsWithoutImprovement) {
  EXPECT_EQ(EndsAfter("patience: 2", true, {0.5, 0.6, 0.5, 0.55}), 4u);
  EXPECT_EQ(EndsAfter("patience: 2", true, {0.5, 0.6, 0.5, 0.7, 0.6, 0.8}), 0u);
  EXPECT_EQ(EndsAfter("patience: 2", false, {2, 1, 1.5, 1.2}), 4u);
  EXPECT_EQ(EndsAfter("patience: 1", true, {0.5}), 0u);
}

TEST(EarlyStopping, TheSameValueIsNoImprovement) {
  EXPECT_EQ(EndsAfter("patience: 2", true, {0.5, 0.5, 0.5}), 3u);
  EXPECT_EQ(EndsAfter("patience: 2", false, {1, 1, 1}), 3u);
}

TEST(EarlyStopping, AnImprovementOfAtMostMinDeltaIsNone) {
  EXPECT_EQ(EndsAfter("patience: 2 min_delta: 0.25", true, {0.5, 0.625, 0.75}), 3u);
  EXPECT_EQ(EndsAfter("patience: 2 min_delta: 0.25", true, {0.5, 0.625, 0.875}), 0u);
  EXPECT_EQ(EndsAfter("patience: 2 min_delta: 0.25", false, {1, 0.875, 0.75}), 3u);
}

TEST(EarlyStopping, MorePatienceGoesOn) {
  const EarlyStoppingState state = {0.5, 10, 3};
  const auto is_over = [&](const std::string& config) {
    return EarlyStopping(FromText<EarlyStoppingConfig>(config), true).IsOver(state);
  };
  EXPECT_TRUE(is_over("patience: 3"));
  EXPECT_FALSE(is_over("patience: 4"));
}

TEST(EarlyStopping, CheckReportsEveryFieldThatIsWrong) {
  const auto errors = [](const std::string& text) {
    return ErrorsOf(EarlyStopping::Check, "schedule.early_stopping", text);
  };
  EXPECT_THAT(errors("patience: 1"), IsEmpty());
  EXPECT_THAT(
      errors("min_delta: -1"),
      ElementsAre(Problem{"schedule.early_stopping.patience",
                          "is not set; expected the number of validations without "
                          "improvement that end the run"},
                  Problem{"schedule.early_stopping.min_delta", "is -1; expected 0 or more"}));
  EXPECT_THAT(errors("patience: 0"),
              ElementsAre(Problem{"schedule.early_stopping.patience", "is 0; expected 1 or more"}));
}

TEST(ValidationMetric, EarlyStoppingTakesTheMetricOfTheBestCheckpointUnlessItHasItsOwn) {
  EXPECT_EQ(EarlyStoppingMetric(FromText<ExperimentConfig>("")), TOP1);
  const std::string best = "runtime { checkpoint { best_metric: MACRO_F1 } }";
  EXPECT_EQ(EarlyStoppingMetric(FromText<ExperimentConfig>(best)), MACRO_F1);
  EXPECT_EQ(EarlyStoppingMetric(
                FromText<ExperimentConfig>(best + "schedule { early_stopping { metric: LOSS } }")),
            LOSS);
  EXPECT_EQ(NameOf(MACRO_F1), "macro_f1");
}

}  // namespace
}  // namespace finetune
