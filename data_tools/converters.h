#ifndef FINETUNE_DATA_TOOLS_CONVERTERS_H_
#define FINETUNE_DATA_TOOLS_CONVERTERS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// The options that all converters share. A converter checks that the output can be written before
// it reads anything. When it fails, it leaves no files behind.
struct ConvertOptions {
  std::string input;
  std::string output;
  int shards = 8;
  bool force = false;
  // See DatasetBuilder::Options. `total` is 0 while it is not known yet.
  std::function<bool(const std::string& split, int64_t done, int64_t total)> progress;
  std::function<void(const std::string& warning)> warn;
};

// Converts CIFAR-10 or CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html), the binary or the
// Python version, from a folder or an archive. If both versions exist, reads the binary one. Files
// may have fewer records than the official ones. Nothing that a pickle of the Python version names
// is run. Errors: DataLoss that names the file and, for the binary version, the record and the
// byte.
absl::Status ConvertCifar10(const ConvertOptions& options);
absl::Status ConvertCifar100(const ConvertOptions& options);

// Converts MNIST and data sets in its format: idx files (http://yann.lecun.com/exdb/mnist/), named
// "train-images-idx3-ubyte" or "train-images.idx3-ubyte" and so on, plain or .gz, in a folder or an
// archive. The classes are the ten digits. If a training label is above 9, they are all labels from
// 0 to the largest, or from 1 if no label is 0. EMNIST's file names begin with "emnist-SPLIT-". Its
// mapping file, if it exists, names the classes. Its images are stored transposed. Errors:
// DataLoss that names the file and the byte.
struct MnistOptions {
  // The split of EMNIST: "balanced", "letters", ... Empty: the only one that exists.
  std::string emnist;
  // Whether rows and columns are exchanged. If not, images stay as they are stored, as in
  // torchvision.
  bool transpose = false;
};
absl::Status ConvertMnist(const ConvertOptions& options, const MnistOptions& mnist);

// How images are stored.
enum class Store {
  // kRaw if all images have the same size with sides of at most kLargestRaw, or if `size` gives
  // one size. Otherwise kEncoded.
  kAuto,
  // As pixels, all images of one size. Reading needs no decoding.
  kRaw,
  // As the bytes of their files, each image of its own size.
  kEncoded,
};
inline constexpr int kLargestRaw = 64;

// Converts a folder of images of the kinds that ImageDecoder reads. Either the folder has
// splits: INPUT/train/CLASS/*, and INPUT/test/CLASS/* or INPUT/val/CLASS/* or both. If only one of
// test and val exists, it becomes the split "test". Or it has no INPUT/train: then of INPUT/CLASS/*
// the part `val_fraction` of each class, at least one image, becomes the split "test". These are
// always the same images, spread evenly over the class. Subfolders of a class belong to it. Names
// that begin with a dot are ignored. A warning names everything else that is not read. INPUT may
// also be an archive of such a folder, or archives of WebDataset: see ListArchiveLayout(). An
// archive is unpacked into a temporary folder beside the output. Errors: one that lists every
// image that cannot be read; all others name the file.
struct FolderOptions {
  Store store = Store::kAuto;
  // Scales each image (antialiased) so that its shorter side has this length, and cuts out the
  // square in its centre. 0: images keep their sizes.
  int size = 0;
  // Only for images that are stored encoded: an image with a longer side above `max_side` is
  // scaled down to it and encoded again, as JPEG of this quality. 0: no image is scaled down.
  int max_side = 0;
  int quality = 90;
  double val_fraction = 0.1;
  Orientation orientation = Orientation::kApply;
  // Whether images that cannot be read are left out, as if they did not exist. If there are such
  // images, all images are read twice.
  bool skip_bad = false;
  // Whether every image that is stored encoded is decoded. If not, only its header and its end
  // are checked, and mean and std come from a sample of 4096 to 8191 training images, spread
  // evenly, or from all if there are fewer.
  bool decode_all = true;
  // The number of threads. 0: one for each core.
  int threads = 0;
};
absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder);

// Converts images that a list names: see ListFiles. `options.input` is the list of training
// images, or a table of all splits. `val`, `root` and `classes` are the fields of ListFiles.
struct ListOptions {
  std::string val;
  std::string root;
  std::string classes;
};
absl::Status ConvertImageList(const ConvertOptions& options, const ListOptions& list,
                              const FolderOptions& folder);

// Makes synthetic images that a small network learns in a minute and a linear classifier does
// not. They are gratings whose orientation is the class, of random phase, frequency, colour, place
// and contrast, over clutter and noise.
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
