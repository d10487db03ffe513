#ifndef FINETUNE_PLAN_PROFILE_H_
#define FINETUNE_PLAN_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/record.h"

namespace finetune {

// One pass of `batch` pictures through the model on one rank, in seconds.
struct PassTimes {
  int64_t batch = 0;
  double forward_s = 0;
  double backward_s = 0;
  // Since backward's start, by parameter in the order of arrival: when its gradient was there and
  // the all-reduce could start.
  std::vector<double> ready_s;
  // The process's peak with passes of this size.
  double memory_bytes = 0;
};

// What one rank alone does in an iteration.
struct Profile {
  // Where it is from, for people.
  std::string source;
  // Elements of each trained parameter, in the order in which gradients come.
  std::vector<int64_t> parameters;
  // Elements of the running statistics that ranks share in each iteration.
  int64_t statistics = 0;
  double optimizer_s = 0;
  // How fast a rank adds one array to another.
  double sum_bytes_per_second = 0;
  // In ascending order of batch; at least one.
  std::vector<PassTimes> passes;
};

// The times of a pass of `batch` pictures, any number above 0: on the line through the two passes
// that are nearest, or in proportion where there is one only.
PassTimes PassAt(const Profile& profile, int64_t batch);

// A profile as JSON, and back. Errors: InvalidArgument with `place` and the field.
std::string ToJson(const Profile& profile);
absl::StatusOr<Profile> ParseProfile(absl::string_view json, absl::string_view place);

// Completes `shape`, which has the parameters but no times, by the records of a run of one rank:
// the median of its iterations. A record knows no more than its iteration's time, so a third of it
// is taken as forward and the gradients are taken to come evenly over the rest. `batch`: the
// pictures of an iteration of one rank; `micro_batch`: of a pass, 0 for all. Errors:
// InvalidArgument with `place`, when there is no record or they are of another number of pictures.
absl::StatusOr<Profile> ProfileOfRun(const History& history, int64_t batch, int64_t micro_batch,
                                     Profile shape, absl::string_view place);

}  // namespace finetune

#endif  // FINETUNE_PLAN_PROFILE_H_
