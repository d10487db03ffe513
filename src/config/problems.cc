#include "src/config/problems.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/shortest_number.h"

namespace finetune {
namespace {

// Returns the number with all its digits, so that a value just outside a bound does not read like
// the bound. A float of the config is written as a float: 0.1, not 0.10000000149011612.
std::string Number(double value) {
  const auto single = static_cast<float>(value);
  return single == value ? ShortestNumber(single) : ShortestNumber(value);
}

void AddOnce(Problem problem, std::vector<Problem>* problems) {
  if (std::find(problems->begin(), problems->end(), problem) == problems->end()) {
    problems->push_back(std::move(problem));
  }
}

}  // namespace

absl::Status ProblemList::status() const {
  if (errors.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrJoin(errors, "\n", [](std::string* out, const Problem& problem) {
        absl::StrAppend(out, problem.field, ": ", problem.text);
      }));
}

std::string Problems::PathOf(absl::string_view field) const {
  return absl::StrCat(path_, path_.empty() || field.empty() ? "" : ".", field);
}

Problems Problems::Within(absl::string_view field) const { return Problems(list_, PathOf(field)); }

Problems Problems::Within(absl::string_view list, int index) const {
  return Within(absl::StrCat(list, "[", index, "]"));
}

void Problems::Error(absl::string_view field, absl::string_view text) const {
  AddOnce({PathOf(field), std::string(text)}, &list_->errors);
}

void Problems::Warn(absl::string_view field, absl::string_view text) const {
  AddOnce({PathOf(field), std::string(text)}, &list_->warnings);
}

void Problems::WrongValue(absl::string_view field, absl::string_view text) const {
  Error(field, text);
  AddOnce({PathOf(field), std::string(text)}, &list_->wrong_values);
}

bool Problems::InRange(absl::string_view field, double value, double low, double high) const {
  if (value >= low && value <= high) return true;
  WrongValue(field,
             absl::StrCat("is ", Number(value), "; expected ", Number(low), " to ", Number(high)));
  return false;
}

bool Problems::AtLeast(absl::string_view field, double value, double low) const {
  if (!Finite(field, value)) return false;
  if (value >= low) return true;
  WrongValue(field, absl::StrCat("is ", Number(value), "; expected ", Number(low), " or more"));
  return false;
}

bool Problems::Positive(absl::string_view field, double value) const {
  if (!Finite(field, value)) return false;
  if (value > 0) return true;
  WrongValue(field, absl::StrCat("is ", Number(value), "; expected more than 0"));
  return false;
}

bool Problems::Finite(absl::string_view field, double value) const {
  if (std::isfinite(value)) return true;
  WrongValue(field, absl::StrCat("is ", Number(value), "; expected a finite number"));
  return false;
}

bool Problems::IsFraction(absl::string_view field, double value) const {
  if (value >= 0 && value < 1) return true;
  WrongValue(field, absl::StrCat("is ", Number(value), "; expected at least 0 and less than 1"));
  return false;
}

bool Problems::IsFactor(absl::string_view field, double value) const {
  if (value > 0 && value <= 1) return true;
  WrongValue(field, absl::StrCat("is ", Number(value), "; expected more than 0 and at most 1"));
  return false;
}

bool Problems::NotBelow(absl::string_view field, double value, absl::string_view other,
                        double least) const {
  if (value >= least) return true;
  Error(field, absl::StrCat("is ", Number(value), "; expected at least ", other, ", which is ",
                            Number(least)));
  return false;
}

}  // namespace finetune
