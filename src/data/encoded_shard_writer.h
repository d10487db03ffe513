#ifndef FINETUNE_DATA_ENCODED_SHARD_WRITER_H_
#define FINETUNE_DATA_ENCODED_SHARD_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "src/base/status_macros.h"
#include "src/data/image_size.h"

namespace finetune {

// Writes one HDF5 file of images that stay encoded as JPEG, PNG and so on:
//
//   bytes    uint8 [total]          all images, one after the other
//   offsets  int64 [count + 1]      image i is bytes [offsets[i], offsets[i + 1])
//   sizes    int32 [count, 2]       height and width of the decoded image
//   labels   int64 [count]
//   crc32    uint32 [count]         of each image's bytes, as zlib's crc32() has it
//
// `bytes` is stored in chunks of kChunkBytes without an HDF5 filter, written one after the other,
// so that an image can usually be read with one system call. The other data sets have Fletcher-32
// checksums. Memory holds one chunk, and 28 bytes for each image. Use: Create(), Append() `count`
// times, Finish(). Before Finish() the file is incomplete, and the caller must remove it if
// Finish() is not reached.
class EncodedShardWriter {
 public:
  // Creates the file `path` for a shard of `count` images. Errors: ResourceExhausted where the disk
  // is full, otherwise DataLoss with HDF5's reason.
  static absl::StatusOr<std::unique_ptr<EncodedShardWriter>> Create(const std::string& path,
                                                                    int64_t count);
  ~EncodedShardWriter();

  // Adds an image. `image`: the encoded bytes. `size`: the size of the decoded image. Errors:
  // InvalidArgument for an image of no bytes, FailedPrecondition for an image beyond `count`; those
  // of Create().
  absl::Status Append(absl::string_view image, const ImageSize& size, int64_t label);

  // Writes the remaining bytes and the tables, and syncs the file to disk. Errors:
  // FailedPrecondition if fewer than `count` images were added; those of Create().
  absl::Status Finish();

 private:
  struct File;
  EncodedShardWriter(std::string path, int64_t count, std::unique_ptr<File> file);
  // Appends a chunk to the HDF5 data set `bytes`. The parameters are those of AppendChunk().
  absl::Status WriteChunk(const char* chunk, int64_t chunk_bytes, int64_t size);
  absl::Status WriteTables();

  std::string path_;
  int64_t count_;
  std::unique_ptr<File> file_;
  // The bytes of added images that are not yet written: less than one chunk. written_ is the number
  // of bytes that are written.
  std::string buffer_;
  int64_t written_ = 0;
  std::vector<int64_t> offsets_ = {0}, labels_;
  std::vector<int32_t> sizes_;
  std::vector<uint32_t> sums_;
};

}  // namespace finetune

#endif  // FINETUNE_DATA_ENCODED_SHARD_WRITER_H_
