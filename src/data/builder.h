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

// One image's part of a data set's mean and standard deviation, by channel.
struct PixelSums {
  int64_t pixels = 0;
  std::array<uint64_t, 3> sum = {}, squares = {};
};

// `pixels`: [n, channels].
PixelSums SumPixels(absl::Span<const uint8_t> pixels, int channels);

// Writes a data set image by image into a temporary folder beside its place, and moves it there
// when it is whole.
//
//   FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
//   FT_RETURN_IF_ERROR(builder.BeginSplit("train", 50000));
//   ... FT_RETURN_IF_ERROR(builder.Add(pixels, label)) ...  // or AddEncoded()
//   FT_RETURN_IF_ERROR(builder.Finish());
//
// Destroyed before Finish(), it leaves nothing behind, and what was there before stays. Calls in
// another order than this, or more images than BeginSplit() said, are FailedPrecondition.
class DatasetBuilder {
 public:
  struct Options {
    std::string folder;
    // Replaces what is there. Without it, an existing folder is an error.
    bool force = false;
    // Shards of each split; never more than it has images.
    int shards = 8;
    std::string name;
    std::string source;
    std::vector<std::string> class_names;
    // Of all images that are stored as pixels.
    int height = 0, width = 0, channels = 0;
    // Images are stored as they come: AddEncoded(). `channels` is 3 and the sizes are theirs.
    bool encoded = false;
    // Such images are not to be turned.
    bool ignores_orientation = false;
    // Images of the source that could not be read, each "FILE: reason"; the manifest records
    // them.
    std::vector<std::string> skipped;
    // Called with a sentence about what is odd but not wrong.
    std::function<void(const std::string& warning)> warn;
    // Called after each image: images of the split so far, and its total. A false answer
    // cancels.
    std::function<bool(const std::string& split, int64_t done, int64_t total)> progress;
  };

  // Whether a data set could be put there, for a look before hours of work. Errors: AlreadyExists
  // where something is there without `force`, or, whatever `force`, something that is not a data
  // set.
  static absl::Status CheckFolder(const std::string& folder, bool force);

  // Errors: those of CheckFolder; InvalidArgument for classes or a size that no manifest may have;
  // PermissionDenied and the like with the path.
  static absl::StatusOr<DatasetBuilder> Create(Options options);
  DatasetBuilder(DatasetBuilder&& other) noexcept;
  DatasetBuilder& operator=(DatasetBuilder&&) = delete;
  ~DatasetBuilder();

  // Starts a split that will have exactly `count` images. Errors: FailedPrecondition where the
  // split before has fewer than it should.
  absl::Status BeginSplit(const std::string& name, int64_t count);
  // `pixels`: [height, width, channels]. `sums`: those of the pixels, where they are known. Errors:
  // InvalidArgument for a label that is not a class'; Cancelled; those of writing, which may be of
  // a shard before.
  absl::Status Add(absl::Span<const uint8_t> pixels, int64_t label,
                   const PixelSums* sums = nullptr);
  // `image`: of a file that ImageDecoder reads. `size`: of the decoded image. `sums`: of its
  // pixels; null leaves it out of mean and standard deviation. Errors: as Add()'s.
  absl::Status AddEncoded(absl::string_view image, const ImageSize& size, int64_t label,
                          const PixelSums* sums);
  // Writes the manifest and puts the folder in its place. Mean and standard deviation are of the
  // first split; of encoded images each counts the same, whatever its size. Warns of a channel
  // that has one value in all of that split's images.
  absl::Status Finish();

 private:
  explicit DatasetBuilder(Options options) : options_(std::move(options)) {}
  absl::Status MakeTemporary();
  // Renames the temporary folder to its final name, and deletes the data set that it replaces. A
  // crash leaves the old data set or the new one there, where the file system can exchange names.
  absl::Status PutInPlace();
  // Deletes temporary folders of this data set whose program was killed.
  void RemoveAbandoned() const;
  absl::Status CheckSplitIsWhole() const;
  absl::Status CheckNext(int64_t label) const;
  absl::Status BeginShard();
  // Counts an image that was appended to the shard, and ends the shard after its last.
  absl::Status Count();
  // Has a thread end the shard: bring it to disk and sum it up.
  absl::Status EndShard();
  // Waits for that thread.
  absl::Status JoinEnding();

  Options options_;
  std::string temporary_;
  // Holds a lock on it: somebody still writes there.
  Fd lock_;
  // Folders above it that had to be made, from the uppermost down.
  std::vector<std::string> made_;
  DatasetManifest manifest_;
  int64_t split_count_ = 0, split_done_ = 0;
  int split_shards_ = 0;
  // Where the last shard of the last split ends, in images of the split.
  int64_t shard_end_ = 0;
  // One of them is in use.
  std::unique_ptr<ShardWriter> shard_;
  std::unique_ptr<EncodedShardWriter> encoded_shard_;
  // The SHA-256 of the shard that is being ended, and where its entry is.
  std::future<absl::StatusOr<std::string>> ending_;
  int ending_split_ = 0, ending_shard_ = 0;
  // Of encoded images' size: the first one's, and whether all have it.
  ImageSize first_size_;
  bool one_size_ = true;
  // Mean and standard deviation: sums over pixels, or over images' means; how many.
  double weight_ = 0;
  std::array<double, 3> sum_ = {}, squares_ = {};
};

}  // namespace finetune

#endif  // FINETUNE_DATA_BUILDER_H_
