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

// What training and evaluation need before they start; the same on every rank but for the loaders'
// parts.
struct Setup {
  at::Device device = at::kCPU;
  std::unique_ptr<BatchLoader> train;  // null for evaluation alone
  std::unique_ptr<BatchLoader> val;    // null where the config has no data.val
  std::unique_ptr<Classifier> model;
  // Which data the model is trained on: the training data, or what the evaluated checkpoint says.
  DataIdentity data;
  // For the log: what was loaded, on what it runs, what the config may not have meant.
  std::vector<std::string> notes;
  std::vector<std::string> warnings;
  // What is wrong with this rank's host; others may have something else.
  std::vector<std::string> host_warnings;
};

// Checks the config against the data and the ranks, opens the data, builds the model and, to train
// from the beginning, gives it the pretrained weights. `evaluated`: null for training. `resumes`: a
// checkpoint of the run will replace all weights, so that no others are read; rank 0's value holds
// for all. The loaders record their work in `trace`, which may be null. Collective; an error is
// every rank's.
//
// The training data say which output of the model is which class, and by which mean and std a
// `normalize {}` works. data.val follows: its labels are mapped by class name, and its pictures are
// normalised as in training, whatever its own statistics are. For evaluation the checkpoint takes
// the training data's place.
absl::StatusOr<Setup> Prepare(const LoadedConfig& loaded, const EvaluatedCheckpoint* evaluated,
                              bool resumes, Trace* trace, Communicator* comm);

// Adds the notes and warnings of reading a checkpoint at `path` and of loading it to the setup's.
void AddNotes(const std::string& path, const StateDict& state, const LoadReport& report,
              Setup* setup);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_SETUP_H_
