#include "src/data/encoded_shard_writer.h"

#include <hdf5.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/shard_file.h"
#include "src/data/shard_hdf5.h"

namespace finetune {

struct EncodedShardWriter::File {
  // `bytes` comes last so that it is destroyed first: a data set must be closed before its file.
  Hdf5Handle file, bytes;
};

absl::StatusOr<std::unique_ptr<EncodedShardWriter>> EncodedShardWriter::Create(
    const std::string& path, int64_t count) {
  if (count < 1) return absl::InvalidArgumentError(absl::StrCat(path, ": a shard of no images"));
  const Hdf5Lock lock;
  auto file = std::make_unique<File>();
  FT_ASSIGN_OR_RETURN(file->file, CreateShardFile(path));
  return std::unique_ptr<EncodedShardWriter>(new EncodedShardWriter(path, count, std::move(file)));
}

EncodedShardWriter::EncodedShardWriter(std::string path, int64_t count, std::unique_ptr<File> file)
    : path_(std::move(path)), count_(count), file_(std::move(file)) {}

EncodedShardWriter::~EncodedShardWriter() {
  const Hdf5Lock lock;
  file_.reset();
}

absl::Status EncodedShardWriter::Append(absl::string_view image, const ImageSize& size,
                                        int64_t label) {
  if (image.empty()) return absl::InvalidArgumentError(absl::StrCat(path_, ": an empty image"));
  if (static_cast<int64_t>(labels_.size()) == count_) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": more than its ", count_, " images came"));
  }
  labels_.push_back(label);
  sizes_.insert(sizes_.end(), {size.height, size.width});
  sums_.push_back(static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(image.data()), image.size())));
  offsets_.push_back(offsets_.back() + static_cast<int64_t>(image.size()));
  while (buffer_.size() + image.size() >= kChunkBytes) {
    const size_t n = kChunkBytes - buffer_.size();
    if (buffer_.empty()) {
      FT_RETURN_IF_ERROR(WriteChunk(image.data(), kChunkBytes, kChunkBytes));
    } else {
      buffer_.append(image.data(), n);
      FT_RETURN_IF_ERROR(WriteChunk(buffer_.data(), kChunkBytes, kChunkBytes));
      buffer_.clear();
    }
    image.remove_prefix(n);
  }
  buffer_.append(image.data(), image.size());
  return absl::OkStatus();
}

absl::Status EncodedShardWriter::WriteChunk(const char* chunk, int64_t chunk_bytes, int64_t size) {
  const Hdf5Lock lock;
  if (!file_->bytes.ok()) {
    FT_ASSIGN_OR_RETURN(file_->bytes,
                        CreatePlainBytes(path_, file_->file.get(), "bytes", chunk_bytes));
  }
  FT_RETURN_IF_ERROR(AppendChunk(path_, file_->bytes, "bytes", written_, chunk, chunk_bytes, size));
  written_ += size;
  return absl::OkStatus();
}

absl::Status EncodedShardWriter::WriteTables() {
  struct Table {
    const char* name;
    hid_t stored, type;
    std::vector<hsize_t> shape;
    const void* values;
    int64_t row_bytes;
  };
  const hsize_t count = count_;
  const std::vector<Table> tables = {
      {"offsets", H5T_STD_I64LE, H5T_NATIVE_INT64, {count + 1}, offsets_.data(), 8},
      {"sizes", H5T_STD_I32LE, H5T_NATIVE_INT32, {count, 2}, sizes_.data(), 8},
      {"labels", H5T_STD_I64LE, H5T_NATIVE_INT64, {count}, labels_.data(), 8},
      {"crc32", H5T_STD_U32LE, H5T_NATIVE_UINT32, {count}, sums_.data(), 4}};
  for (const Table& table : tables) {
    FT_ASSIGN_OR_RETURN(Hdf5Handle dataset,
                        CreateDataset(path_, file_->file.get(), table.name, table.stored,
                                      table.shape, kChunkBytes / table.row_bytes));
    FT_RETURN_IF_ERROR(
        WriteRows(path_, dataset, table.name, table.type, 0, table.shape, table.values));
    if (!dataset.Reset()) return Hdf5Error(path_, absl::StrCat("cannot write ", table.name));
  }
  return absl::OkStatus();
}

absl::Status EncodedShardWriter::Finish() {
  if (static_cast<int64_t>(labels_.size()) != count_) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": ", labels_.size(), " images of ", count_, " came"));
  }
  if (const auto size = static_cast<int64_t>(buffer_.size()); size > 0) {
    // If all bytes of the shard fit into one chunk, the chunk has just their size.
    const int64_t chunk_bytes = written_ == 0 ? size : kChunkBytes;
    buffer_.resize(chunk_bytes);
    FT_RETURN_IF_ERROR(WriteChunk(buffer_.data(), chunk_bytes, size));
  }
  {
    const Hdf5Lock lock;
    FT_RETURN_IF_ERROR(WriteTables());
    if (!file_->bytes.Reset() || !file_->file.Reset()) return Hdf5Error(path_, "cannot write");
  }
  return SyncFile(path_);
}

}  // namespace finetune
