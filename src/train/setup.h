#ifndef FINETUNE_TRAIN_SETUP_H_
#define FINETUNE_TRAIN_SETUP_H_

#include <memory>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/state_dict.h"
#include "src/comm/communicator.h"
#include "src/config/config.h"
#include "src/data/loader.h"
#include "src/model/classifier.h"
#include "src/model/load.h"
#include "src/observe/trace.h"
#include "src/train/data_identity.h"
#include "src/train/match_data.h"

namespace finetune {

// The parts that training and evaluation need before they start. They are equal on all ranks,
// except for the loaders' parts of the data.
struct Setup {
  at::Device device = at::kCPU;
  // Whether the model computes in bfloat16, else in float32.
  bool bfloat16 = false;
  std::unique_ptr<BatchLoader> train;  // null for evaluation alone
  std::unique_ptr<BatchLoader> val;    // null where the config has no data.val
  std::unique_ptr<Classifier> model;
  // The identity of the data that the model is trained on: of the training data, or of the data
  // that the evaluated checkpoint names.
  DataIdentity data;
  // The weight of each class in the training loss, as ClassWeights() returns them. Empty: all
  // are 1.
  std::vector<float> class_weights;
  // Sentences for the log. `notes`: what was loaded and on which devices the ranks run. `warnings`:
  // settings that are likely mistakes.
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  // Warnings about this rank's host, which may differ between ranks.
  std::vector<std::string> host_warnings;
};

// Opens the data (see match_data.h), checks the config against the data and the number of ranks,
// and builds the model. Training from the beginning also loads the pretrained weights. `evaluated`:
// the checkpoint to evaluate; null for training. `resumes`: the caller will load all weights from a
// checkpoint of the run, so no pretrained weights are read; the value of rank 0 counts on all
// ranks. The loaders record their work in `trace`, which may be null. Collective; an error is
// returned on every rank.
absl::StatusOr<Setup> Prepare(const LoadedConfig& loaded, const EvaluatedCheckpoint* evaluated,
                              bool resumes, Trace* trace, Communicator* comm);

// Does the same for images that are not in a data set: chooses the device and builds the model,
// without loaders. The caller must still load the weights. `trained_on`: the data identity in the
// checkpoint's meta. Collective; an error is returned on every rank.
absl::StatusOr<Setup> PrepareModel(const LoadedConfig& loaded, const DataIdentity& trained_on,
                                   Communicator* comm);

// Reads a checkpoint's weights into the setup's model, which is that of `loaded`. `key`: the
// checkpoint's entry that holds them, as PretrainedConfig.key. Errors: those of CheckNetwork(),
// ReadStateDict() and LoadClassifier(), with the path.
absl::Status TakeWeights(const LoadedConfig& loaded, const std::string& path,
                         const std::string& key, const EvaluatedWeights& weights, Setup* setup);

// Prints setup's notes and warnings on stderr, on rank 0. One rank of each host prints
// host_warnings.
void PrintNotes(const Setup& setup, const Communicator& comm);

// Adds to `setup` the notes and warnings of reading the checkpoint at `path` (`state`) and of
// loading it into the model (`report`).
void AddNotes(const std::string& path, const StateDict& state, const LoadReport& report,
              Setup* setup);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_SETUP_H_
