#ifndef FINETUNE_DATA_TOOLS_CONVERTERS_H_
#define FINETUNE_DATA_TOOLS_CONVERTERS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"

namespace finetune {

// What all converters share.
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
// records than the official ones. Errors name the file, the record and the byte.
absl::Status ConvertCifar10(const ConvertOptions& options);
absl::Status ConvertCifar100(const ConvertOptions& options);

// MNIST and its like: idx files (http://yann.lecun.com/exdb/mnist/), plain or .gz.
absl::Status ConvertMnist(const ConvertOptions& options);

// A folder of JPEG and PNG files: INPUT/train/CLASS/*, and INPUT/test/CLASS/* or INPUT/val/CLASS/*;
// without those, INPUT/CLASS/*, of which `val_fraction` are held out. With `size`, each picture is
// scaled (antialiased) so that its shorter side is that and its middle is cut out; without, all
// must have one size.
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
