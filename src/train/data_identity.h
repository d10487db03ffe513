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

// The facts of one split of a data set that two runs must agree on.
struct SplitIdentity {
  std::string split;  // its name: "train"
  std::string digest;
  int64_t pictures = 0;
  int64_t channels = 0, height = 0, width = 0;  // of a stored picture
  // Whether pictures are stored as their files were, and not turned as their EXIF orientation says.
  // Unset: the checkpoint is of a version that did not say.
  std::optional<bool> encoded = std::nullopt, ignores_orientation = std::nullopt;
};

// The identity of the data that a model was trained on. A checkpoint carries it in `meta`, because
// weights alone do not tell which output stands for which class, or how images were normalized.
struct DataIdentity {
  // In the order of the model's outputs. Empty: unknown.
  ClassNames classes;
  // The mean and std of the training pipeline; empty lists where it does not normalize. Unset:
  // unknown.
  std::optional<PixelStatistics> statistics;
  std::optional<SplitIdentity> train, val;
};

SplitIdentity IdentityOf(const Dataset& dataset);

// Returns "mean [123.7, 116.3, 103.5] and std [58.4, 57.1, 57.4]", or "nothing" for empty lists.
std::string Describe(const PixelStatistics& statistics);

// Adds to a checkpoint's meta `CLASSES`, as mmpretrain has them, and `data`, a dict of `mean`,
// `std`, `train` and `val`.
void AppendTo(const DataIdentity& identity, Value::Dict* meta);

// Reads a checkpoint's meta, of this program or another. Class names are sought where mmpretrain
// has them: `CLASSES` or `dataset_meta.classes`. What is not there is not known. Errors:
// InvalidArgument where `data` is not as AppendTo writes it; those of CheckCheckpointVersion().
absl::StatusOr<DataIdentity> ReadDataIdentity(const Value& meta);

// The same from a checkpoint's file; without meta everything is unknown. Errors: those of
// ReadTorchFile; those above, with the path.
absl::StatusOr<DataIdentity> ReadDataIdentityOf(const std::string& path);

// The differences between this run's data and those of the checkpoint that it resumes from.
struct DataDifference {
  // One sentence for each difference. Empty: the same, as far as the checkpoint tells.
  std::vector<std::string> sentences;
  // A class of both has another number, so the model's outputs would mean other classes.
  bool renumbered = false;
  // The accuracies so far are of other validation data.
  bool val_differs = false;
};
DataDifference CompareData(const DataIdentity& saved, const DataIdentity& now);

// Checks that a run whose data have `classes` may start from a checkpoint's head. A checkpoint that
// names no classes, such as torchvision's and timm's, may be used; then the returned note for the
// log tells which class each output is taken for. Else the note is empty. Errors: InvalidArgument
// where the classes or their order differ.
absl::StatusOr<std::string> CheckHeadClasses(const DataIdentity& saved, const ClassNames& classes);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_DATA_IDENTITY_H_
