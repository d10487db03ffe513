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

// A run that takes a second: a small ResNet on synthetic images of 16x16, with LibTorch's operators
// as on a GPU.
struct SmallRun {
  int images = 40;
  int batch = 16;
  int epochs = 4;
  // Whether an image in six is of class c and the others of a and b. Otherwise all three classes
  // have equally many.
  bool has_small_class = false;
};

// Writes the data and the config of such a run below `folder`.
absl::Status MakeSmallRun(const std::string& folder, const SmallRun& run);

// Collective: rank 0 writes them into the running test's own folder. Returns that folder on every
// rank. Fails the test where that is not possible.
std::string MakeSharedSmallRun(const SmallRun& run, Communicator* comm);

// Loads the config of a small run with further settings ("runtime.cuda_graph=true").
absl::StatusOr<LoadedConfig> LoadSmallRun(const std::string& folder,
                                          const std::vector<std::string>& settings);

// A part of a small run.
struct SmallRunPart {
  int64_t iterations = 0;  // from the run's start on; 0: all
  std::string resume;      // as TrainOptions has it
};

// Trains in `folder` with further settings ("runtime.cuda_graph=true") in a work_dir of that name,
// and returns the last checkpoint's tensors. The test fails where that is not possible.
TensorList TrainSmallRun(const std::string& folder, const std::string& name,
                         const std::vector<std::string>& settings, Communicator* comm,
                         const SmallRunPart& part = {});

}  // namespace finetune

#endif  // FINETUNE_TESTS_SMALL_RUN_H_
