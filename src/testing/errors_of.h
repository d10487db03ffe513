#ifndef FINETUNE_TESTING_ERRORS_OF_H_
#define FINETUNE_TESTING_ERRORS_OF_H_

#include <string>
#include <vector>

#include "src/config/problems.h"
#include "src/testing/from_text.h"

namespace finetune {

// Returns the errors that a component's check adds for its message, for example
// ErrorsOf(CheckSchedule, "schedule", "max_epochs: 0"). `text`: the message in text format. `path`:
// its path in the config.
template <typename Config>
std::vector<Problem> ErrorsOf(void (*check)(const Config&, const Problems&),
                              const std::string& path, const std::string& text) {
  ProblemList found;
  check(FromText<Config>(text), Problems(&found, path));
  return found.errors;
}

}  // namespace finetune

#endif  // FINETUNE_TESTING_ERRORS_OF_H_
