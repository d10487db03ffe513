#ifndef FINETUNE_CONFIG_PROBLEMS_H_
#define FINETUNE_CONFIG_PROBLEMS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// One thing that is wrong with a config, or doubtful.
struct Problem {
  std::string field;  // its path: "optimizer.sgd.lr"
  std::string text;   // "is -1; expected 0 or more"

  bool operator==(const Problem& other) const = default;
};

struct ProblemList {
  std::vector<Problem> errors;
  // Settings that work but are probably a mistake.
  std::vector<Problem> warnings;

  // OK, or InvalidArgument with one line for each error: "optimizer.sgd.lr: is -1; expected 0 or
  // more".
  absl::Status status() const;
};

// Where a component writes down what is wrong with its message of the config. Each component checks
// its own message, and names fields as the message does; so all problems of a config come together,
// each with its path. Cheap to copy.
class Problems {
 public:
  // For the message at `path`; empty: the whole config. `list` must outlive it.
  explicit Problems(ProblemList* list, std::string path = "")
      : list_(list), path_(std::move(path)) {}

  // For a message in this one: a field's, or an element's of a list.
  Problems Within(absl::string_view field) const;
  Problems Within(absl::string_view list, int index) const;

  // `field`: its name in this message, or "topk[1]", or "sgd.lr"; empty: this message. What is
  // there already is not added again.
  void Error(absl::string_view field, absl::string_view text) const;
  void Warn(absl::string_view field, absl::string_view text) const;

  // The next five return false, after an Error(), where the value is not as they say. None accepts
  // NaN; only InRange accepts an infinity, where a bound is one.
  bool InRange(absl::string_view field, double value, double low, double high) const;
  bool AtLeast(absl::string_view field, double value, double low) const;
  bool Positive(absl::string_view field, double value) const;
  bool Finite(absl::string_view field, double value) const;
  // At least 0 and less than 1.
  bool IsFraction(absl::string_view field, double value) const;

 private:
  std::string PathOf(absl::string_view field) const;

  ProblemList* list_;
  std::string path_;
};

}  // namespace finetune

#endif  // FINETUNE_CONFIG_PROBLEMS_H_
