#ifndef FINETUNE_DATA_BUILDER_H_
#define FINETUNE_DATA_BUILDER_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/types/span.h"
#include "src/base/fd.h"
#include "src/base/status_macros.h"
#include "src/data/dataset.pb.h"
#include "src/data/shard_writer.h"

namespace finetune {

// Writes a data set picture by picture into a temporary folder beside its place, and moves it there
// when it is whole.
//
//   FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(options));
//   FT_RETURN_IF_ERROR(builder.BeginSplit("train", 50000));
//   ... FT_RETURN_IF_ERROR(builder.Add(pixels, label)) ...
//   FT_RETURN_IF_ERROR(builder.Finish());
//
// Destroyed before Finish(), it leaves nothing behind, and what was there before stays. Calls in
// another order than this, or more pictures than BeginSplit() said, are FailedPrecondition.
class DatasetBuilder {
 public:
  struct Options {
    std::string folder;
    // Replaces what is there. Without it, an existing folder is an error.
    bool force = false;
    // Shards of each split; never more than it has pictures.
    int shards = 8;
    std::string name;
    std::string source;
    std::vector<std::string> class_names;
    int height = 0, width = 0, channels = 0;
    // Pictures of the source that could not be read, each "FILE: reason"; the manifest records
    // them.
    std::vector<std::string> skipped;
    // Called with a sentence about what is odd but not wrong.
    std::function<void(const std::string& warning)> warn;
    // Called after each picture: pictures of the split so far, and its total. A false answer
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

  // Starts a split that will have exactly `count` pictures. Errors: FailedPrecondition where the
  // split before has fewer than it should.
  absl::Status BeginSplit(const std::string& name, int64_t count);
  // `pixels`: [height, width, channels]. Errors: InvalidArgument for a label that is not a class';
  // Cancelled.
  absl::Status Add(absl::Span<const uint8_t> pixels, int64_t label);
  // Writes the manifest and puts the folder in its place. Mean and standard deviation are of the
  // first split. Warns of a channel that has one value in all of that split's pictures.
  absl::Status Finish();

 private:
  explicit DatasetBuilder(Options options) : options_(std::move(options)) {}
  absl::Status MakeTemporary();
  // Deletes temporary folders of this data set whose program was killed.
  void RemoveAbandoned() const;
  absl::Status CheckSplitIsWhole() const;
  absl::Status BeginShard();
  absl::Status EndShard();

  Options options_;
  std::string temporary_;
  // Holds a lock on it: somebody still writes there.
  Fd lock_;
  // Folders above it that had to be made, from the uppermost down.
  std::vector<std::string> made_;
  DatasetManifest manifest_;
  int64_t split_count_ = 0, split_done_ = 0;
  int split_shards_ = 0;
  // Where the last shard of the last split ends, in pictures of the split.
  int64_t shard_end_ = 0;
  std::unique_ptr<ShardWriter> shard_;
  std::array<double, 3> sum_ = {}, squares_ = {};
};

}  // namespace finetune

#endif  // FINETUNE_DATA_BUILDER_H_
