#ifndef FINETUNE_PLAN_PROFILE_H_
#define FINETUNE_PLAN_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/observe/record.h"

namespace finetune {

// One pass of `batch` images through the model on one rank, in seconds.
struct PassTimes {
  int64_t batch = 0;
  double forward_s = 0;
  double backward_s = 0;
  // The time of each parameter's gradient, at which its all-reduce could start. In the order of
  // arrival, since backward's start.
  std::vector<double> ready_s;
  // The process's peak memory with passes of this size.
  double memory_bytes = 0;
};

// The times and sizes of an iteration on one rank.
struct Profile {
  // The origin of the profile, for people.
  std::string source;
  // The elements of each trained parameter, in the order in which gradients arrive.
  std::vector<int64_t> parameters;
  // The elements of the running statistics that ranks share in each iteration.
  int64_t statistics = 0;
  double optimizer_s = 0;
  // The speed at which a rank adds one array to another.
  double sum_bytes_per_second = 0;
  // In ascending order of batch; at least one.
  std::vector<PassTimes> passes;
};

// Returns the times of a pass of `batch` images, any number above 0: on the line through the two
// nearest passes, or in proportion where there is only one.
PassTimes PassAt(const Profile& profile, int64_t batch);

// Writes and reads a profile as JSON. Errors: InvalidArgument with `place` and the field.
std::string ToJson(const Profile& profile);
absl::StatusOr<Profile> ParseProfile(absl::string_view json, absl::string_view place);

// Adds times to `shape`, which has the parameters but no times, from the records of a run of one
// rank: the median of its iterations. A record has only its iteration's time, so a third of it is
// taken as forward, and gradients are assumed to arrive evenly over the rest. `batch`: the images
// of an iteration of one rank; `micro_batch`: of a pass, 0 for all. Errors: InvalidArgument with
// `place`, when there is no record or its number of images differs.
absl::StatusOr<Profile> ProfileOfRun(const History& history, int64_t batch, int64_t micro_batch,
                                     Profile shape, absl::string_view place);

}  // namespace finetune

#endif  // FINETUNE_PLAN_PROFILE_H_
