#ifndef FINETUNE_DATA_SHARD_WRITER_H_
#define FINETUNE_DATA_SHARD_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/types/span.h"
#include "src/base/status_macros.h"

namespace finetune {

// The number and shape of a shard's images.
struct ShardShape {
  int64_t count = 0;
  int height = 0, width = 0, channels = 0;
};

// Writes one shard: an HDF5 file with two arrays, `images` uint8 [count, height, width, channels]
// and `labels` int64 [count]. The arrays are stored in chunks of at most 256 KiB (or of one larger
// image), each with a Fletcher-32 checksum. The file format is that of HDF5 1.10, whose internal
// structures have checksums too. Memory holds one chunk.
//
//   FT_ASSIGN_OR_RETURN(auto shard, ShardWriter::Create(path, shape));
//   ... FT_RETURN_IF_ERROR(shard->Append(pixels, label)) ...  // shape.count times
//   FT_RETURN_IF_ERROR(shard->Finish());
//
// Before Finish() the file is incomplete, and the caller must remove it if Finish() is not reached.
class ShardWriter {
 public:
  // Creates the file `path` for a shard of this shape. Errors: InvalidArgument for a shape with a
  // dimension below 1; ResourceExhausted where the disk is full, otherwise DataLoss with HDF5's
  // reason.
  static absl::StatusOr<std::unique_ptr<ShardWriter>> Create(const std::string& path,
                                                             const ShardShape& shape);
  ~ShardWriter();

  // Adds an image. `pixels`: [height, width, channels]. Errors: InvalidArgument if the number of
  // bytes is not height * width * channels; FailedPrecondition for an image beyond `count`; those
  // of Create().
  absl::Status Append(absl::Span<const uint8_t> pixels, int64_t label);

  // Writes the last chunk and syncs the file to disk. Errors: FailedPrecondition if fewer than
  // `count` images were added; those of Create().
  absl::Status Finish();

 private:
  struct File;
  ShardWriter(std::string path, const ShardShape& shape, std::unique_ptr<File> file);
  absl::Status WriteChunk();

  std::string path_;
  ShardShape shape_;
  std::unique_ptr<File> file_;
  int64_t chunk_images_ = 0;
  int64_t written_ = 0;
  std::vector<uint8_t> pixels_;
  std::vector<int64_t> labels_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_WRITER_H_
