#ifndef FINETUNE_DATA_TOOLS_CONVERTERS_H_
#define FINETUNE_DATA_TOOLS_CONVERTERS_H_

#include <cstdint>
#include <functional>
#include <string>

#include "src/base/status_macros.h"
#include "src/data/decode/decode.h"

namespace finetune {

// The options that all converters share. A converter first checks that the output folder can be
// written. If it fails later, it leaves no files behind.
struct ConvertOptions {
  std::string input;
  std::string output;
  int shards = 8;
  bool force = false;
  // See DatasetBuilder::Options. While an archive is unpacked, `done` counts files and `total` is
  // 0.
  std::function<bool(const std::string& split, int64_t done, int64_t total)> progress;
  std::function<void(const std::string& warning)> warn;
};

// Convert CIFAR-10 or CIFAR-100 (https://www.cs.toronto.edu/~kriz/cifar.html) from a folder or an
// archive. They read the binary version or the Python version; if both exist, the binary one. Files
// may have fewer records than the official ones. No Python code that a pickle of the Python version
// names is run. Errors: DataLoss that names the file and, for the binary version, the record and
// the byte.
absl::Status ConvertCifar10(const ConvertOptions& options);
absl::Status ConvertCifar100(const ConvertOptions& options);

// The options of ConvertMnist().
struct MnistOptions {
  // The split of EMNIST to convert: "balanced", "letters", ... Empty: the only one whose files
  // exist.
  std::string emnist;
  // Whether rows and columns of the images are exchanged, which makes EMNIST's images upright. If
  // false, images stay as they are stored, as in torchvision.
  bool transpose = false;
};
// Converts MNIST, EMNIST and other data sets in MNIST's format: idx files
// (http://yann.lecun.com/exdb/mnist/) in a folder or an archive. They are named
// "train-images-idx3-ubyte" or "train-images.idx3-ubyte" and so on, and may be compressed (.gz).
//
// The classes are the ten digits. If a training label is above 9, the classes are instead all
// labels from 0 (or from 1 if no label is 0) to the largest. EMNIST's file names begin with
// "emnist-SPLIT-"; its mapping file, if it exists, names the classes; its images are stored
// transposed. Errors: DataLoss that names the file and the byte.
absl::Status ConvertMnist(const ConvertOptions& options, const MnistOptions& mnist);

// How images are stored in the data set.
enum class Store {
  // As kRaw if FolderOptions::size is set, or if all images have the same size and no side is
  // longer than kLargestRaw. Otherwise as kEncoded.
  kAuto,
  // As pixels. All images must have one size. Training then needs no decoding.
  kRaw,
  // As the bytes of their files. Images may have different sizes.
  kEncoded,
};
// The longest side, in pixels, of images that Store::kAuto stores as pixels.
inline constexpr int kLargestRaw = 64;

// The options of ConvertImageFolder() and ConvertImageList().
struct FolderOptions {
  Store store = Store::kAuto;
  // If not 0, each image is scaled (antialiased) so that its shorter side has this length, and the
  // square in its centre is cut out. 0: images keep their sizes.
  int size = 0;
  // Only for images that are stored encoded. An image whose longer side is above `max_side` is
  // scaled down to it and encoded again. 0: no image is scaled down. quality: the quality, 1 to
  // 100, of JPEGs that are encoded again because of `size` or `max_side`.
  int max_side = 0;
  int quality = 90;
  // The part of each class that becomes the split "test" if the input has no splits.
  double val_fraction = 0.1;
  Orientation orientation = Orientation::kApply;
  // Whether images that cannot be read are left out, as if they did not exist. If false, they are
  // an error. If there are such images, all images are read twice.
  bool skip_bad = false;
  // Whether every image that is stored encoded is decoded once to check it. If false, only its
  // header (and the end of a JPEG or PNG) is checked, and mean and std are computed from 4096 to
  // 8191 training images, spread evenly, or from all if there are fewer.
  bool decode_all = true;
  // The number of threads. 0: one for each core.
  int threads = 0;
};
// Converts a folder of images in the formats that ImageDecoder reads.
//
// If the folder has splits, its images are INPUT/train/CLASS/* with INPUT/test/CLASS/* or
// INPUT/val/CLASS/* or both. If only one of test and val exists, it becomes the split "test". If
// there is no INPUT/train, the images are INPUT/CLASS/*, and the part `val_fraction` of each class,
// but at least one image, becomes the split "test". These are the same images in every run, spread
// evenly over the class. Images in subfolders of a class belong to the class. Files and folders
// whose names begin with a dot are ignored. Warnings name everything else that is left out.
//
// INPUT may also be an archive of such a folder, or archives of WebDataset: see
// ListArchiveLayout(). An archive is unpacked into a temporary folder beside the output.
//
// Errors: a single one that lists all images that cannot be read; other errors name the file.
absl::Status ConvertImageFolder(const ConvertOptions& options, const FolderOptions& folder);

// The files of ConvertImageList() besides its input. See the fields of ListFiles.
struct ListOptions {
  std::string val;
  std::string root;
  std::string classes;
};
// Converts images that files list. `options.input` is the list of training images, or a table of
// all splits: it is ListFiles::train.
absl::Status ConvertImageList(const ConvertOptions& options, const ListOptions& list,
                              const FolderOptions& folder);

// The options of MakeSynthetic(). `train` and `test`: the number of images. `size`: their height
// and width in pixels.
struct SyntheticOptions {
  int classes = 10;
  int64_t train = 2048;
  int64_t test = 512;
  int size = 32;
  uint64_t seed = 0;
};
// Writes a data set of synthetic images, which a small network learns in a minute and a linear
// classifier does not learn. An image shows a grating whose orientation is the class, with random
// phase, frequency, colour, place and contrast, over clutter and noise.
absl::Status MakeSynthetic(const ConvertOptions& options, const SyntheticOptions& synthetic);

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_CONVERTERS_H_
