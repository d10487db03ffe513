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
  // For each parameter, the time in seconds from the start of backward until its gradient is
  // complete, so that its all-reduce could start. In the order of arrival.
  std::vector<double> ready_s;
  // The process's peak memory in bytes with passes of this size.
  double memory_bytes = 0;
};

// The times and sizes of an iteration on one rank.
struct Profile {
  // A text that says where the profile comes from.
  std::string source;
  // The number of elements of each trained parameter, in the order in which gradients arrive.
  std::vector<int64_t> parameters;
  // The number of running statistics that an iteration averages over the ranks.
  int64_t statistics = 0;
  double optimizer_s = 0;
  // The bytes per second of one array that a rank adds to another array.
  double sum_bytes_per_second = 0;
  // In ascending order of `batch`; never empty.
  std::vector<PassTimes> passes;
};

// Returns the times of a pass of `batch` images, for any number above 0: interpolated or
// extrapolated linearly from the two nearest passes, or in proportion to `batch` where the profile
// has only one.
PassTimes PassAt(const Profile& profile, int64_t batch);

// Write and read a profile as JSON. Errors: InvalidArgument with `place` and the field.
std::string ToJson(const Profile& profile);
absl::StatusOr<Profile> ParseProfile(absl::string_view json, absl::string_view place);

// Adds times to `shape`, which has the parameters but no times. Each time is the median over the
// iterations in the records of a run with one rank. A record has only the time of a whole
// iteration, so a third of it is taken as forward, and gradients are assumed to arrive evenly over
// the rest. `batch`: the images in an iteration of one rank. `micro_batch`: the images in a pass;
// 0: all. Errors: InvalidArgument with `place`, where there is no record or the number of images in
// a record differs from `batch`.
absl::StatusOr<Profile> ProfileOfRun(const History& history, int64_t batch, int64_t micro_batch,
                                     Profile shape, absl::string_view place);

}  // namespace finetune

#endif  // FINETUNE_PLAN_PROFILE_H_
