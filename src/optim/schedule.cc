#include "src/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/base/ceil_divide.h"
#include "src/base/shortest_number.h"
#include "src/optim/early_stopping.h"
#include "src/optim/plateau.h"

namespace finetune {
namespace {

// Returns the run's length in iterations; 0 if it is not known. `epoch`: the number of iterations
// of an epoch, 0 if not known.
int64_t RunIterations(const ScheduleConfig& schedule, int64_t epoch) {
  return schedule.has_max_iterations() ? schedule.max_iterations() : schedule.max_epochs() * epoch;
}

// Returns the warm-up's length in iterations; 0 if it is not known. `epoch`: as above.
int64_t WarmupIterations(const WarmupConfig& warmup, int64_t epoch) {
  return warmup.has_epochs() ? warmup.epochs() * epoch : warmup.iterations();
}

// The part of the run that the schedule covers: all of it, or, with warmup.schedule_follows, the
// part after the warm-up.
struct CoveredPart {
  // 0 if it is not known.
  int64_t length = 0;
  // Whether the config alone decides the length. Otherwise data and ranks do, because they decide
  // how long an epoch is.
  bool by_config = false;
};

// Returns the part in epochs (`by_epoch`; a last epoch that is cut short counts as one) or in
// iterations. `epoch`: as above.
CoveredPart FindCoveredPart(const ScheduleConfig& schedule, int64_t epoch, bool by_epoch) {
  const WarmupConfig& warmup = schedule.warmup();
  const bool follows = warmup.schedule_follows();
  const int64_t run = by_epoch ? schedule.max_epochs() : schedule.max_iterations();
  if (run > 0 && (!follows || warmup.has_epochs() == by_epoch)) {
    const int64_t before = by_epoch ? warmup.epochs() : warmup.iterations();
    return {std::max<int64_t>(0, run - (follows ? before : 0)), true};
  }
  if (epoch <= 0) return {};
  const int64_t before = follows ? WarmupIterations(warmup, epoch) : 0;
  const int64_t length = std::max<int64_t>(0, RunIterations(schedule, epoch) - before);
  return {by_epoch ? CeilDivide(length, epoch) : length, false};
}

// Returns the end of a phrase like "epoch 25", where epochs count from the schedule's begin.
const char* OfSchedule(const ScheduleConfig& schedule) {
  return schedule.warmup().schedule_follows() ? " of the schedule" : "";
}

// The next three functions compare a field with the run's length. If both count epochs or both
// count iterations, the config alone is wrong. Otherwise data and ranks decide how long an epoch
// is, so they only warn, and only if `epoch`, the number of its iterations, is known (not 0).

void CheckMilestones(const ScheduleConfig& schedule, int64_t epoch, const Problems& problems) {
  const MultiStepLrConfig& multi_step = schedule.multi_step();
  const bool by_epoch = multi_step.unit() == EPOCH;
  const CoveredPart part = FindCoveredPart(schedule, epoch, by_epoch);
  const int64_t iterations = FindCoveredPart(schedule, epoch, /*by_epoch=*/false).length;
  const char* of_schedule = OfSchedule(schedule);
  int64_t last = 0;
  for (int i = 0; i < multi_step.milestones_size(); ++i) {
    const std::string field = absl::StrCat("milestones[", i, "]");
    const int64_t milestone = multi_step.milestones(i);
    if (milestone <= last) {
      problems.Error(field,
                     absl::StrCat("is ", milestone, " after ", last, "; expected rising numbers"));
    }
    if (part.by_config && milestone >= part.length) {
      problems.Error(field, absl::StrCat("is ", milestone, "; the run ends after ",
                                         by_epoch ? "epoch " : "iteration ", part.length,
                                         of_schedule, " and would never reach it"));
    } else if (part.length > 0 && milestone >= part.length) {
      problems.Warn(
          field, absl::StrCat("is ", milestone, "; the run ends after iteration ", iterations,
                              of_schedule, by_epoch ? absl::StrCat(", in epoch ", part.length) : "",
                              ", and never reaches it"));
    }
    last = milestone;
  }
}

void CheckWarmup(const ScheduleConfig& schedule, int64_t epoch, const Problems& problems) {
  const WarmupConfig& warmup = schedule.warmup();
  problems.InRange("start_factor", warmup.start_factor(), 0, 1);
  if (warmup.length_case() == WarmupConfig::LENGTH_NOT_SET) {
    problems.Error("iterations", "is not set, nor is epochs; the warm-up has no length");
    return;
  }
  const bool by_epoch = warmup.has_epochs();
  const std::string field = by_epoch ? "epochs" : "iterations";
  const int64_t length = by_epoch ? warmup.epochs() : warmup.iterations();
  if (!problems.AtLeast(field, static_cast<double>(length), 0)) return;
  if (warmup.unit() == EPOCH && !by_epoch) {
    problems.Error("unit", "is EPOCH and the length is in iterations; set epochs instead");
  }
  if (warmup.ends_at_full_rate() && length == 1 && by_epoch == (warmup.unit() == EPOCH)) {
    problems.Error(field,
                   "is 1; with ends_at_full_rate this step would have the full rate, so the "
                   "warm-up needs 2 or more");
  }
  const int64_t iterations = RunIterations(schedule, epoch);
  if (by_epoch && schedule.max_epochs() > 0) {
    if (length < schedule.max_epochs()) return;
    problems.Error(field, absl::StrCat("is ", length, "; the run ends after epoch ",
                                       schedule.max_epochs(), ", before it is warm"));
  } else if (iterations > 0 && WarmupIterations(warmup, epoch) >= iterations) {
    problems.Warn(field, absl::StrCat("is ", length, "; the run ends after iteration ", iterations,
                                      ", before it is warm"));
  }
}

// Checks whether the schedule's kind can begin after the warm-up.
void CheckFollows(const ScheduleConfig& schedule, const Problems& problems) {
  if (!schedule.warmup().schedule_follows()) return;
  const char* expected = "; expected cosine, cosine_restarts, poly or multi_step, or false";
  switch (schedule.kind_case()) {
    case ScheduleConfig::kOneCycle:
      problems.Error(
          "warmup.schedule_follows",
          absl::StrCat("is true, and schedule.one_cycle has a rise of its own", expected));
      break;
    case ScheduleConfig::kPlateau:
    case ScheduleConfig::kConstant:
    case ScheduleConfig::KIND_NOT_SET:
      problems.Error("warmup.schedule_follows",
                     absl::StrCat("is true, and this schedule's rate does not depend on where it "
                                  "begins",
                                  expected));
      break;
    case ScheduleConfig::kMultiStep:
    case ScheduleConfig::kCosine:
    case ScheduleConfig::kPoly:
    case ScheduleConfig::kCosineRestarts:
      break;
  }
}

void CheckOneCycle(const OneCycleLrConfig& config, const Problems& problems) {
  problems.IsFraction("pct_start", config.pct_start());
  const bool rises = problems.AtLeast("div_factor", config.div_factor(), 1);
  if (problems.Positive("final_div_factor", config.final_div_factor()) && rises &&
      config.div_factor() * config.final_div_factor() < 1) {
    problems.Error("final_div_factor",
                   absl::StrCat("is ", ShortestNumber(config.final_div_factor()),
                                "; the last rate, lr / (div_factor * final_div_factor), would be "
                                "more than lr: expected at least 1 / div_factor"));
  }
}

// A period of cosine_restarts and a moment in it, both in iterations or both in epochs.
struct Period {
  double length;
  double now;  // since the period's start, less than `length`
};

// Returns the period that contains the moment `now`, which counts from the run's start. `first`:
// the length of the first period. `multiplier`: see CosineRestartsLrConfig. The loop is short,
// because each of its periods is at least twice as long as the one before.
Period PeriodAt(double first, int32_t multiplier, double now) {
  if (multiplier == 1) return {first, std::fmod(now, first)};
  Period period = {first, now};
  while (period.now >= period.length) {
    period.now -= period.length;
    period.length *= multiplier;
  }
  return period;
}

void CheckRestarts(const ScheduleConfig& schedule, int64_t epoch, const Problems& problems) {
  const CosineRestartsLrConfig& restarts = schedule.cosine_restarts();
  problems.AtLeast("min_lr", restarts.min_lr(), 0);
  const bool multiplies = problems.InRange("multiplier", restarts.multiplier(), 1, 1000);
  if (restarts.first_case() == CosineRestartsLrConfig::FIRST_NOT_SET) {
    problems.Error("first_epochs",
                   "is not set, nor is first_iterations; the first period has no length");
    return;
  }
  const bool by_epoch = restarts.has_first_epochs();
  const std::string field = by_epoch ? "first_epochs" : "first_iterations";
  int64_t first = by_epoch ? restarts.first_epochs() : restarts.first_iterations();
  if (!problems.AtLeast(field, static_cast<double>(first), 1) || !multiplies) return;
  std::string is = absl::StrCat("is ", first);
  CoveredPart part = FindCoveredPart(schedule, epoch, by_epoch);
  if (!part.by_config) {
    if (epoch <= 0) return;
    part = FindCoveredPart(schedule, epoch, /*by_epoch=*/false);
    part.by_config = false;
    if (by_epoch) {
      first *= epoch;
      absl::StrAppend(&is, ", which are ", first, " iterations");
    }
  }
  const int64_t end = part.length;
  if (end <= 0) return;
  const char* unit = part.by_config && by_epoch ? "epoch" : "iteration";
  const char* of_schedule = OfSchedule(schedule);
  if (first >= end) {
    const std::string text = absl::StrCat(is, "; the run ends after ", unit, " ", end, of_schedule,
                                          " and would never restart: take schedule.cosine");
    return part.by_config ? problems.Error(field, text) : problems.Warn(field, text);
  }
  const Period last =
      PeriodAt(static_cast<double>(first), restarts.multiplier(), static_cast<double>(end));
  if (last.now == 0) return;
  const double began = static_cast<double>(end) - last.now, ends = began + last.length;
  problems.Warn(field,
                absl::StrFormat("the run ends after %s %d%s, inside the period from %s %.0f to "
                                "%.0f, so its last rate is not the least; a run of %.0f or %.0f "
                                "%ss%s ends with a period",
                                unit, end, of_schedule, unit, began, ends, began, ends, unit,
                                schedule.warmup().schedule_follows() ? " after the warm-up" : ""));
}

// Returns the value at `angle` of half a wave of the cosine, which goes from `a` at 0 to `b` at pi.
double CosineBetween(double a, double b, double angle) {
  return b + (a - b) * (1 + std::cos(angle)) / 2;
}

// Returns the value at `progress`, 0 to 1, on the curve from a to b: a straight line or half a
// cosine.
double Anneal(OneCycleLrConfig::Anneal curve, double a, double b, double progress) {
  if (curve == OneCycleLrConfig::LINEAR) return a + (b - a) * progress;
  return CosineBetween(a, b, std::numbers::pi * progress);
}

// Returns the learning rate of `iteration` in a run of `total` iterations. As in PyTorch, the
// rising phase may end between two iterations. `peak`: the highest rate.
double OneCycleAt(const OneCycleLrConfig& config, double peak, int64_t iteration, int64_t total) {
  const double first = peak / config.div_factor();
  const double last = first / config.final_div_factor();
  const double top = config.pct_start() * static_cast<double>(total) - 1;
  const double end = static_cast<double>(total) - 1;
  const auto now = static_cast<double>(iteration);
  if (now <= top) return top > 0 ? Anneal(config.anneal(), first, peak, now / top) : peak;
  return Anneal(config.anneal(), peak, last, (now - top) / (end - top));
}

}  // namespace

void CheckSchedule(const ScheduleConfig& config, int64_t iterations_per_epoch,
                   const Problems& problems) {
  switch (config.length_case()) {
    case ScheduleConfig::kMaxEpochs:
      problems.AtLeast("max_epochs", config.max_epochs(), 1);
      break;
    case ScheduleConfig::kMaxIterations:
      problems.AtLeast("max_iterations", static_cast<double>(config.max_iterations()), 1);
      break;
    case ScheduleConfig::LENGTH_NOT_SET:
      problems.Error("max_epochs", "is not set, nor is max_iterations; the run has no length");
      break;
  }
  switch (config.kind_case()) {
    case ScheduleConfig::kMultiStep:
      CheckMilestones(config, iterations_per_epoch, problems.Within("multi_step"));
      problems.Positive("multi_step.gamma", config.multi_step().gamma());
      break;
    case ScheduleConfig::kCosine:
      problems.AtLeast("cosine.min_lr", config.cosine().min_lr(), 0);
      break;
    case ScheduleConfig::kPoly:
      problems.Positive("poly.power", config.poly().power());
      problems.AtLeast("poly.min_lr", config.poly().min_lr(), 0);
      break;
    case ScheduleConfig::kOneCycle:
      CheckOneCycle(config.one_cycle(), problems.Within("one_cycle"));
      if (config.has_warmup()) {
        problems.Warn("warmup", "multiplies the rise that schedule.one_cycle has already");
      }
      break;
    case ScheduleConfig::kCosineRestarts:
      CheckRestarts(config, iterations_per_epoch, problems.Within("cosine_restarts"));
      break;
    case ScheduleConfig::kPlateau:
      Plateau::Check(config.plateau(), problems.Within("plateau"));
      break;
    case ScheduleConfig::kConstant:
    case ScheduleConfig::KIND_NOT_SET:
      break;
  }
  if (config.has_warmup()) {
    CheckWarmup(config, iterations_per_epoch, problems.Within("warmup"));
    CheckFollows(config, problems);
  }
  if (config.has_early_stopping()) {
    EarlyStopping::Check(config.early_stopping(), problems.Within("early_stopping"));
  }
  problems.AtLeast("val_interval_epochs", config.val_interval_epochs(), 0);
  if (config.has_val_interval_iterations()) {
    problems.AtLeast("val_interval_iterations",
                     static_cast<double>(config.val_interval_iterations()), 1);
  }
  if (config.auto_scale_lr() && !config.has_base_batch_size()) {
    problems.Error("auto_scale_lr", "needs schedule.base_batch_size, which is not set");
  }
  if (config.has_base_batch_size()) {
    problems.AtLeast("base_batch_size", config.base_batch_size(), 1);
  }
}

LearningRateSchedule::LearningRateSchedule(const ScheduleConfig& config, double base_lr,
                                           int64_t iterations_per_epoch)
    : config_(config),
      base_lr_(base_lr),
      iterations_per_epoch_(iterations_per_epoch),
      total_iterations_(RunIterations(config, iterations_per_epoch)),
      warmup_iterations_(WarmupIterations(config.warmup(), iterations_per_epoch)),
      begin_(config.warmup().schedule_follows() ? warmup_iterations_ : 0) {}

double LearningRateSchedule::Progress(int64_t now, ScheduleUnit unit) const {
  if (now == 0) return 0;
  const int64_t length = total_iterations_ - begin_;
  if (unit == ITERATION) return static_cast<double>(now) / static_cast<double>(length);
  const int64_t epochs = CeilDivide(length, iterations_per_epoch_);
  return static_cast<double>(now / iterations_per_epoch_) / static_cast<double>(epochs);
}

double LearningRateSchedule::Decayed(int64_t now, int64_t reductions) const {
  switch (config_.kind_case()) {
    case ScheduleConfig::kMultiStep: {
      const MultiStepLrConfig& multi_step = config_.multi_step();
      const int64_t step = multi_step.unit() == EPOCH ? now / iterations_per_epoch_ : now;
      const auto passed =
          std::count_if(multi_step.milestones().begin(), multi_step.milestones().end(),
                        [step](int64_t milestone) { return milestone <= step; });
      return base_lr_ * std::pow(multi_step.gamma(), static_cast<double>(passed));
    }
    case ScheduleConfig::kCosine: {
      const CosineLrConfig& cosine = config_.cosine();
      const double progress = Progress(now, cosine.unit());
      return CosineBetween(base_lr_, cosine.min_lr(), std::numbers::pi * progress);
    }
    case ScheduleConfig::kPoly: {
      const PolyLrConfig& poly = config_.poly();
      return poly.min_lr() +
             (base_lr_ - poly.min_lr()) * std::pow(1 - Progress(now, poly.unit()), poly.power());
    }
    case ScheduleConfig::kOneCycle:
      return OneCycleAt(config_.one_cycle(), base_lr_, now, total_iterations_);
    case ScheduleConfig::kCosineRestarts: {
      const CosineRestartsLrConfig& restarts = config_.cosine_restarts();
      const int64_t first = restarts.has_first_epochs()
                                ? restarts.first_epochs() * iterations_per_epoch_
                                : restarts.first_iterations();
      const Period period =
          PeriodAt(static_cast<double>(first), restarts.multiplier(), static_cast<double>(now));
      const double angle = std::numbers::pi * period.now / period.length;
      return CosineBetween(base_lr_, restarts.min_lr(), angle);
    }
    case ScheduleConfig::kPlateau:
      return Plateau(config_.plateau()).RateAfter(reductions, base_lr_);
    case ScheduleConfig::kConstant:
    case ScheduleConfig::KIND_NOT_SET:
      break;
  }
  return base_lr_;
}

double LearningRateSchedule::WarmupFactor(int64_t iteration) const {
  if (iteration >= warmup_iterations_) return 1;
  const WarmupConfig& warmup = config_.warmup();
  const bool by_epoch = warmup.unit() == EPOCH;
  const int64_t step = by_epoch ? iteration / iterations_per_epoch_ : iteration;
  const int64_t steps = by_epoch ? warmup.epochs() : warmup_iterations_;
  // The steps below the full rate.
  const int64_t rising = warmup.ends_at_full_rate() ? steps - 1 : steps;
  if (step >= rising) return 1;
  const double start = warmup.start_factor();
  return start + (1 - start) * static_cast<double>(step) / static_cast<double>(rising);
}

double LearningRateSchedule::At(int64_t iteration, int64_t reductions) const {
  const double lr = Decayed(std::max<int64_t>(0, iteration - begin_), reductions);
  return lr * WarmupFactor(iteration);
}

std::optional<MinimumLearningRate> FindMinimumLearningRate(const ScheduleConfig& config) {
  switch (config.kind_case()) {
    case ScheduleConfig::kCosine:
      return MinimumLearningRate{"schedule.cosine.min_lr", config.cosine().min_lr()};
    case ScheduleConfig::kPoly:
      return MinimumLearningRate{"schedule.poly.min_lr", config.poly().min_lr()};
    case ScheduleConfig::kCosineRestarts:
      return MinimumLearningRate{"schedule.cosine_restarts.min_lr",
                                 config.cosine_restarts().min_lr()};
    case ScheduleConfig::kPlateau:
      return MinimumLearningRate{"schedule.plateau.min_lr", config.plateau().min_lr()};
    case ScheduleConfig::kMultiStep:
    case ScheduleConfig::kOneCycle:
    case ScheduleConfig::kConstant:
    case ScheduleConfig::KIND_NOT_SET:
      break;
  }
  return std::nullopt;
}

double ScaledLearningRate(const ScheduleConfig& schedule, double lr, int64_t total_batch) {
  if (!schedule.auto_scale_lr() || !schedule.has_base_batch_size()) return lr;
  return lr * static_cast<double>(total_batch) / schedule.base_batch_size();
}

}  // namespace finetune
