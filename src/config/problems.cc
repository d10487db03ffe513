#include "src/config/problems.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"

namespace finetune {
namespace {

// Returns the number as text. A whole number keeps all its digits: 16777216, not 1.67772e+07.
std::string Number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) {
    return absl::StrCat(static_cast<int64_t>(value));
  }
  return absl::StrFormat("%g", value);
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

bool Problems::InRange(absl::string_view field, double value, double low, double high) const {
  if (value >= low && value <= high) return true;
  Error(field,
        absl::StrCat("is ", Number(value), "; expected ", Number(low), " to ", Number(high)));
  return false;
}

bool Problems::AtLeast(absl::string_view field, double value, double low) const {
  if (!Finite(field, value)) return false;
  if (value >= low) return true;
  Error(field, absl::StrCat("is ", Number(value), "; expected ", Number(low), " or more"));
  return false;
}

bool Problems::Positive(absl::string_view field, double value) const {
  if (!Finite(field, value)) return false;
  if (value > 0) return true;
  Error(field, absl::StrCat("is ", Number(value), "; expected more than 0"));
  return false;
}

bool Problems::Finite(absl::string_view field, double value) const {
  if (std::isfinite(value)) return true;
  Error(field, absl::StrCat("is ", Number(value), "; expected a finite number"));
  return false;
}

bool Problems::IsFraction(absl::string_view field, double value) const {
  if (value >= 0 && value < 1) return true;
  Error(field, absl::StrCat("is ", Number(value), "; expected at least 0 and less than 1"));
  return false;
}

}  // namespace finetune
