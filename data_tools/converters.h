#ifndef FINETUNE_DATA_TOOLS_CONVERTERS_H_
#define FINETUNE_DATA_TOOLS_CONVERTERS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// What all converters share. They look at the output's place before they read anything, and leave
// nothing behind when they fail.
struct ConvertOptions {
  std::string input;
  std::string output;
  int shards = 8;
  bool force = false;
  // See DatasetBuilder::Options::progress.
  std::function<bool(const std::string& split, int64_t done, int64_t total)> progress;
};

// CIFAR-10 or CIFAR-100 in the official binary layout
// (https://www.cs.toronto.edu/~kriz/cifar.html), as a folder or an archive. Files may hold fewer
// records than the official ones. Errors: DataLoss that names the file, the record and the byte.
absl::Status ConvertCifar10(const ConvertOptions& options);
absl::Status ConvertCifar100(const ConvertOptions& options);

// MNIST and its like: idx files (http://yann.lecun.com/exdb/mnist/), plain or .gz, as a folder or
// an archive. Errors: DataLoss that names the file and the byte.
absl::Status ConvertMnist(const ConvertOptions& options);

// A folder of JPEG and PNG files: INPUT/train/CLASS/*, and INPUT/test/CLASS/*, INPUT/val/CLASS/* or
// both (one alone becomes the split "test"); without INPUT/train, INPUT/CLASS/*, of which
// `val_fraction` of each class, at least one, are held out: always the same ones, spread over the
// class. With `size`, each picture is scaled (antialiased) so that its shorter side is that and its
// middle is cut out; without, all must have one size. Names that begin with a dot are passed over.
// Errors name the file.
struct FolderOptions {
  int size = 0;
  double val_fraction = 0.1;
};
absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder);

// Made-up pictures that a small network learns in a minute and a linear classifier does not:
// gratings whose orientation is the class, of random phase, frequency, colour, place and contrast,
// over clutter and noise.
struct SyntheticOptions {
  int classes = 10;
  int64_t train = 2048;
  int64_t test = 512;
  int size = 32;
  uint64_t seed = 0;
};
absl::Status MakeSynthetic(const ConvertOptions& options, const SyntheticOptions& synthetic);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_CONVERTERS_H_
