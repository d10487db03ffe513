#ifndef FINETUNE_CONFIG_PROBLEMS_H_
#define FINETUNE_CONFIG_PROBLEMS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace finetune {

// An error in a config, or a setting that is likely a mistake.
struct Problem {
  std::string field;  // its path: "optimizer.sgd.lr"
  std::string text;   // "is -1; expected 0 or more"

  bool operator==(const Problem& other) const = default;
};

struct ProblemList {
  std::vector<Problem> errors;
  // Settings that work but are probably a mistake.
  std::vector<Problem> warnings;
  // Those of `errors` that are about a value that is wrong whatever the other fields are.
  std::vector<Problem> wrong_values;

  // Returns OK if there are no errors, else InvalidArgument with one line for each:
  // "optimizer.sgd.lr: is -1; expected 0 or more".
  absl::Status status() const;
};

// Collects the problems of one message of the config. Each component checks its own message and
// names fields relative to it; the collector adds the message's path, so that all problems of a
// config are reported together. Cheap to copy.
class Problems {
 public:
  // Collects problems of the message at `path` (empty: the whole config) in `list`, which must
  // outlive this object.
  explicit Problems(ProblemList* list, std::string path = "")
      : list_(list), path_(std::move(path)) {}

  // Returns a collector for a message inside this one: the value of `field`, or element `index` of
  // `list`.
  Problems Within(absl::string_view field) const;
  Problems Within(absl::string_view list, int index) const;

  // Adds an error or a warning, unless the same one is in the list already. `field`: a field of
  // this message, such as "lr", "topk[1]" or "sgd.lr"; empty: this message itself.
  void Error(absl::string_view field, absl::string_view text) const;
  void Warn(absl::string_view field, absl::string_view text) const;
  // Adds an error about a value that is wrong whatever the other fields are. Such errors are also
  // reported for a config whose text has errors: see FindWrongValues() in src/validate/validate.h.
  void WrongValue(absl::string_view field, absl::string_view text) const;

  // Each of the next six functions checks a value; if the check fails it calls WrongValue() and
  // returns false. The bounds must not depend on other fields. NaN fails every check. An infinite
  // value passes only InRange(), and only if it equals a bound.
  bool InRange(absl::string_view field, double value, double low, double high) const;
  bool AtLeast(absl::string_view field, double value, double low) const;
  bool Positive(absl::string_view field, double value) const;
  bool Finite(absl::string_view field, double value) const;
  // Checks 0 <= value < 1.
  bool IsFraction(absl::string_view field, double value) const;
  // Checks 0 < value <= 1.
  bool IsFactor(absl::string_view field, double value) const;

  // Checks value >= least, which is the value of the field `other` of the same message. If the
  // check fails, adds an error and returns false. NaN fails it.
  bool NotBelow(absl::string_view field, double value, absl::string_view other, double least) const;

 private:
  std::string PathOf(absl::string_view field) const;

  ProblemList* list_;
  std::string path_;
};

}  // namespace finetune

#endif  // FINETUNE_CONFIG_PROBLEMS_H_
