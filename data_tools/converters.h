#ifndef FINETUNE_DATA_TOOLS_CONVERTERS_H_
#define FINETUNE_DATA_TOOLS_CONVERTERS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// The options that all converters share. A converter looks at the output's place before it reads
// anything, and leaves nothing behind when it fails.
struct ConvertOptions {
  std::string input;
  std::string output;
  int shards = 8;
  bool force = false;
  // See DatasetBuilder::Options. A total of 0: it is not known yet.
  std::function<bool(const std::string& split, int64_t done, int64_t total)> progress;
  std::function<void(const std::string& warning)> warn;
};

// CIFAR-10 or CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html) in the binary or the Python
// version, as a folder or an archive; the binary version where both are there. Files may hold fewer
// records than the official ones. Nothing that a pickle of the Python version names is run.
// Errors: DataLoss that names the file and, of the binary version, the record and the byte.
absl::Status ConvertCifar10(const ConvertOptions& options);
absl::Status ConvertCifar100(const ConvertOptions& options);

// MNIST and its like: idx files (http://yann.lecun.com/exdb/mnist/), named
// "train-images-idx3-ubyte" or "train-images.idx3-ubyte" and so on, plain or .gz, as a folder or an
// archive. The number of classes is one more than the largest label; labels that begin with 1 are
// counted from 1. EMNIST's files begin with "emnist-SPLIT-", have a mapping that names the classes,
// and store each picture transposed. Errors: DataLoss that names the file and the byte.
struct MnistOptions {
  // Which of EMNIST's splits: "balanced", "letters", ... Empty: the one that is there.
  std::string emnist;
  // Exchanges rows and columns. Without it, pictures stay as they are stored, as in torchvision.
  bool transpose = false;
};
absl::Status ConvertMnist(const ConvertOptions& options, const MnistOptions& mnist);

// How pictures are stored.
enum class Store {
  // As pixels where all have one size of at most kLargestRaw a side, or `size` says one; else
  // encoded.
  kAuto,
  // As pixels of one size: read without decoding.
  kRaw,
  // As their files are, each of its own size.
  kEncoded,
};
inline constexpr int kLargestRaw = 64;

// A folder of pictures of the kinds that PictureDecoder reads: INPUT/train/CLASS/*, and
// INPUT/test/CLASS/*, INPUT/val/CLASS/* or both (one alone becomes the split "test"); without
// INPUT/train, INPUT/CLASS/*, of which `val_fraction` of each class, at least one, are held out:
// always the same ones, spread over the class. Subfolders of a class are part of it. Names that
// begin with a dot are passed over. Warns of everything else that is not read. Or an archive of
// such a folder, or WebDataset's: see ListArchiveLayout(); it is unpacked beside the output first,
// and nothing of that is left. Errors: one that lists every picture that cannot be read; others
// name the file.
struct FolderOptions {
  Store store = Store::kAuto;
  // Scales each picture (antialiased) so that its shorter side is that, and cuts out its middle. 0:
  // pictures keep their sizes.
  int size = 0;
  // Pictures that are stored encoded: one whose longer side is longer is scaled to it and encoded
  // anew, as JPEG of this quality. 0: none is.
  int max_side = 0;
  int quality = 90;
  double val_fraction = 0.1;
  Orientation orientation = Orientation::kApply;
  // Leaves out pictures that cannot be read, as if they were not there. Where there are some, all
  // pictures are read twice.
  bool skip_bad = false;
  // Decodes every picture that is stored encoded. Without it, its header and its end are looked at,
  // and mean and std are those of 4096 to 8191 training pictures, spread evenly, or of all.
  bool decode_all = true;
  // 0: one a core.
  int threads = 0;
};
absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder);

// The same of pictures that a list names: see ListFiles. `options.input` is the training list, or a
// table of all splits.
struct ListOptions {
  std::string val;
  std::string root;
  std::string classes;
};
absl::Status ConvertImageList(const ConvertOptions& options, const ListOptions& list,
                              const FolderOptions& folder);

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
