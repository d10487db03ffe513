#ifndef FINETUNE_DATA_BUILDER_H_
#define FINETUNE_DATA_BUILDER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"
#include "src/data/encoded_shard_writer.h"
#include "src/data/image_size.h"
#include "src/data/shard_writer.h"

namespace finetune {

// The sums over an image's pixels from which a data set's mean and standard deviation are computed.
// sum[c] adds the values 0..255 of channel c, squares[c] their squares.
struct PixelSums {
  int64_t pixels = 0;
  std::array<uint64_t, 3> sum = {}, squares = {};
};

// Returns the sums of an image of n pixels. `pixels`: [n, channels].
PixelSums SumPixels(absl::Span<const uint8_t> pixels, int channels);

// Writes a prepared data set (HDF5 shards and a manifest) image by image. It writes to a temporary
// folder beside the final one, which gets its final name when it is complete.
//
//   FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
//   FT_RETURN_IF_ERROR(builder.BeginSplit("train", 50000));
//   ... FT_RETURN_IF_ERROR(builder.Add(pixels, label)) ...  // or AddEncoded()
//   FT_RETURN_IF_ERROR(builder.Finish());
//
// If the builder is destroyed before Finish() has succeeded, it deletes what it wrote, and a data
// set that was to be replaced stays. FailedPrecondition for calls in another order than above and
// for more images than BeginSplit() announced.
class DatasetBuilder {
 public:
  struct Options {
    std::string folder;
    // Whether to replace a data set that is in `folder`. If false, an existing folder is an error.
    bool force = false;
    // The number of shards (HDF5 files) of each split. A split with fewer images than this has one
    // shard for each image.
    int shards = 8;
    std::string name;
    std::string source;
    std::vector<std::string> class_names;
    // The size of every image, if images are stored as pixels (`encoded` is false).
    int height = 0, width = 0, channels = 0;
    // Whether images stay encoded as JPEG, PNG and so on and are added by AddEncoded(). `channels`
    // is then 3, `height` and `width` are 0, and images may have different sizes.
    bool encoded = false;
    // Whether encoded images are decoded without applying their EXIF orientation.
    bool ignores_orientation = false;
    // The images of the source that could not be read and are left out, each as "FILE: reason". The
    // manifest records them.
    std::vector<std::string> skipped;
    // Called with a sentence about something unusual that is not an error. May be unset.
    std::function<void(const std::string& warning)> warn;
    // Called after each image with the split's name, its images so far and its total. If it returns
    // false, Add() and AddEncoded() return Cancelled. May be unset.
    std::function<bool(const std::string& split, int64_t done, int64_t total)> progress;
  };

  // Checks whether a data set can be put into `folder`, so that a program can report an error
  // before hours of work. Errors: InvalidArgument for an empty name; AlreadyExists if `folder`
  // exists and `force` is false, and, whatever `force` is, if it holds anything but a data set.
  static absl::Status CheckFolder(const std::string& folder, bool force);

  // Creates the temporary folder, and the parent folders that are missing. Errors: those of
  // CheckFolder(); InvalidArgument for class names or an image size that a manifest may not have;
  // those of the file system, with the path.
  static absl::StatusOr<DatasetBuilder> Create(Options options);
  DatasetBuilder(DatasetBuilder&& other) noexcept;
  DatasetBuilder& operator=(DatasetBuilder&&) = delete;
  ~DatasetBuilder();

  // Starts a split of exactly `count` images. Errors: FailedPrecondition if the previous split did
  // not get all its images; InvalidArgument if `count` is below 1.
  absl::Status BeginSplit(const std::string& name, int64_t count);
  // Adds an image to the current split. `pixels`: [height, width, channels]. `sums`: SumPixels() of
  // them if the caller has it, or null. Errors: InvalidArgument for a wrong number of pixels or a
  // label that is not the number of a class; Cancelled by Options::progress; those of writing, also
  // of the previous shard, which is finished in the background.
  absl::Status Add(absl::Span<const uint8_t> pixels, int64_t label,
                   const PixelSums* sums = nullptr);
  // Adds an encoded image to the current split. `image`: the bytes of a file that ImageDecoder can
  // decode. `size`: the size of the decoded image. `sums`: SumPixels() of the decoded image; with
  // null the image does not count for the mean and standard deviation. Errors: as Add().
  absl::Status AddEncoded(absl::string_view image, const ImageSize& size, int64_t label,
                          const PixelSums* sums);
  // Writes the manifest and gives the folder its final name. The manifest's mean and standard
  // deviation are those of the first split. Each encoded image counts the same for them, whatever
  // its size. Warns of a channel that has the same value in all pixels of the first split.
  absl::Status Finish();

 private:
  explicit DatasetBuilder(Options options) : options_(std::move(options)) {}
  absl::Status MakeTemporary();
  // Renames the temporary folder to its final name, and deletes the data set that it replaces. If
  // the file system can exchange two names, a crash leaves either the old or the new data set under
  // the final name.
  absl::Status PutInPlace();
  // Deletes temporary folders that killed programs left for the same final name.
  void RemoveAbandoned() const;
  // Returns FailedPrecondition if the current split lacks images.
  absl::Status CheckSplitIsWhole() const;
  // Checks that another image with this label may be added now.
  absl::Status CheckNext(int64_t label) const;
  absl::Status BeginShard();
  // Counts an image that was appended to the shard. After the shard's last image it calls
  // EndShard().
  absl::Status Count();
  // Finishes the shard in the background: a thread syncs it to disk and computes its SHA-256.
  absl::Status EndShard();
  // Waits for the thread of EndShard() and puts the SHA-256 into the manifest.
  absl::Status JoinEnding();

  Options options_;
  std::string temporary_;
  // Holds a lock on the temporary folder, which tells other programs that this one still writes
  // there.
  Fd lock_;
  // The parent folders that Create() created, outermost first. The destructor deletes those that
  // are empty.
  std::vector<std::string> made_;
  DatasetManifest manifest_;
  // The number of images of the current split that BeginSplit() announced, the number added so far,
  // and the number of its shards.
  int64_t split_count_ = 0, split_done_ = 0;
  int split_shards_ = 0;
  // The number of images of the current split at which the current shard is complete.
  int64_t shard_end_ = 0;
  // The current shard: `encoded_shard_` if Options::encoded, otherwise `shard_`. Null between two
  // shards.
  std::unique_ptr<ShardWriter> shard_;
  std::unique_ptr<EncodedShardWriter> encoded_shard_;
  // The result of EndShard()'s thread, the SHA-256, and the split and shard of the manifest that it
  // belongs to.
  std::future<absl::StatusOr<std::string>> ending_;
  int ending_split_ = 0, ending_shard_ = 0;
  // The size of the first encoded image, and whether all encoded images so far have this size.
  ImageSize first_size_;
  bool one_size_ = true;
  // The sums for mean and standard deviation by channel. For images stored as pixels: sums over all
  // pixels, and weight_ is the number of pixels. For encoded images: sums of each image's mean
  // value and mean square, and weight_ is the number of images.
  double weight_ = 0;
  std::array<double, 3> sum_ = {}, squares_ = {};
};

}  // namespace finetune

#endif  // FINETUNE_DATA_BUILDER_H_
