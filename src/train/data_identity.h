#ifndef FINETUNE_TRAIN_DATA_IDENTITY_H_
#define FINETUNE_TRAIN_DATA_IDENTITY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/checkpoint/value.h"
#include "src/data/classes.h"
#include "src/data/dataset.h"
#include "src/data/pipeline.h"

namespace finetune {

// One split of a data set, as far as two runs must agree on it.
struct SplitIdentity {
  std::string split;  // its name: "train"
  std::string digest;
  int64_t pictures = 0;
  int64_t channels = 0, height = 0, width = 0;  // of a stored picture
};

// Which data a model was trained on. A checkpoint carries it in `meta`, because weights alone do
// not say which output stands for which class, nor how pictures were normalised.
struct DataIdentity {
  // In the order of the model's outputs. Empty: not known.
  ClassNames classes;
  // What the training pipeline normalises by: empty lists where it does not normalise. Absent: not
  // known.
  std::optional<PixelStatistics> statistics;
  std::optional<SplitIdentity> train, val;
};

SplitIdentity IdentityOf(const Dataset& dataset);

// "mean [123.7, 116.3, 103.5] and std [58.4, 57.1, 57.4]", or "nothing" for empty lists.
std::string Describe(const PixelStatistics& statistics);

// Adds to a checkpoint's meta `CLASSES`, as mmpretrain has them, and `data`: a dict of `mean`,
// `std`, `train` and `val`.
void AppendTo(const DataIdentity& identity, Value::Dict* meta);

// Reads a checkpoint's meta, of this program or another. Class names are sought where mmpretrain
// has them: `CLASSES` or `dataset_meta.classes`. What is not there is not known. Errors:
// InvalidArgument where `data` is not as AppendTo writes it; those of CheckCheckpointVersion().
absl::StatusOr<DataIdentity> ReadDataIdentity(const Value& meta);

// The same of the meta in a checkpoint's file; of a file without meta, nothing is known. Errors:
// those of ReadTorchFile; those above, with the path.
absl::StatusOr<DataIdentity> ReadDataIdentityOf(const std::string& path);

// How this run's data differ from those of the checkpoint that it goes on from.
struct DataDifference {
  // One sentence for each difference; empty: the same as far as the checkpoint says.
  std::vector<std::string> sentences;
  // A class of both stands under another number: the model's outputs would mean other classes.
  bool renumbered = false;
  // The accuracies so far are of other validation data.
  bool val_differs = false;
};
DataDifference CompareData(const DataIdentity& saved, const DataIdentity& now);

// Whether a run whose data have `classes` may start from a checkpoint's head. A checkpoint that
// names no classes, as of torchvision or timm, may: then a note for the log says which class each
// output is taken for. Else the note is empty. Errors: InvalidArgument where the classes are
// others, or in another order.
absl::StatusOr<std::string> CheckHeadClasses(const DataIdentity& saved, const ClassNames& classes);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_DATA_IDENTITY_H_
