#ifndef FINETUNE_TESTS_SMALL_RUN_H_
#define FINETUNE_TESTS_SMALL_RUN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// A run that takes about a second: a small ResNet on synthetic images of 16x16 pixels, with
// LibTorch's operators as on a GPU.
struct SmallRun {
  int images = 40;
  int batch = 16;
  int epochs = 4;
  // If true, one image in six is of class c and the others are of classes a and b. If false, the
  // three classes have equally many images.
  bool has_small_class = false;
};

// Writes the data and the config of such a run below `folder`.
absl::Status MakeSmallRun(const std::string& folder, const SmallRun& run);

// Does the same on rank 0, in the running test's own folder, and returns the folder on every rank.
// Fails the test where that is not possible. Collective.
std::string MakeSharedSmallRun(const SmallRun& run, Communicator* comm);

// Loads the config of a small run. `settings`: further settings, such as "runtime.cuda_graph=true".
absl::StatusOr<LoadedConfig> LoadSmallRun(const std::string& folder,
                                          const std::vector<std::string>& settings);

// The part of a small run to train.
struct SmallRunPart {
  int64_t iterations = 0;  // the last iteration, counted from the run's start; 0: all
  std::string resume;      // the value of TrainOptions::resume
};

// Trains the small run of `folder` in the work_dir `name` below it, with further settings. Returns
// the tensors of the last checkpoint. Fails the test where that is not possible.
TensorList TrainSmallRun(const std::string& folder, const std::string& name,
                         const std::vector<std::string>& settings, Communicator* comm,
                         const SmallRunPart& part = {});

}  // namespace finetune

#endif  // FINETUNE_TESTS_SMALL_RUN_H_
