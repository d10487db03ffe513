#include "src/data/shard_writer.h"

#include <hdf5.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/shard_file.h"
#include "src/data/shard_hdf5.h"

namespace finetune {

struct ShardWriter::File {
  // `images` and `labels` come after `file` so that they are destroyed first: a data set must be
  // closed before its file.
  Hdf5Handle file, images, labels;
};

absl::StatusOr<std::unique_ptr<ShardWriter>> ShardWriter::Create(const std::string& path,
                                                                 const ShardShape& shape) {
  if (shape.count < 1 || shape.height < 1 || shape.width < 1 || shape.channels < 1) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a shard of no images"));
  }
  const Hdf5Lock lock;
  auto file = std::make_unique<File>();
  FT_ASSIGN_OR_RETURN(file->file, CreateShardFile(path));
  const hsize_t count = shape.count, height = shape.height, width = shape.width,
                channels = shape.channels;
  auto writer = std::unique_ptr<ShardWriter>(new ShardWriter(path, shape, nullptr));
  FT_ASSIGN_OR_RETURN(file->images,
                      CreateDataset(path, file->file.get(), "images", H5T_STD_U8LE,
                                    {count, height, width, channels}, writer->chunk_images_));
  FT_ASSIGN_OR_RETURN(file->labels, CreateDataset(path, file->file.get(), "labels", H5T_STD_I64LE,
                                                  {count}, kChunkBytes / sizeof(int64_t)));
  writer->file_ = std::move(file);
  return writer;
}

ShardWriter::ShardWriter(std::string path, const ShardShape& shape, std::unique_ptr<File> file)
    : path_(std::move(path)), shape_(shape), file_(std::move(file)) {
  const int64_t image = int64_t{shape.height} * shape.width * shape.channels;
  chunk_images_ = std::clamp<int64_t>(kChunkBytes / image, 1, shape.count);
  pixels_.reserve(chunk_images_ * image);
  labels_.reserve(chunk_images_);
}

ShardWriter::~ShardWriter() {
  const Hdf5Lock lock;
  file_.reset();
}

absl::Status ShardWriter::Append(absl::Span<const uint8_t> pixels, int64_t label) {
  const int64_t image = int64_t{shape_.height} * shape_.width * shape_.channels;
  if (static_cast<int64_t>(pixels.size()) != image) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": an image of ", pixels.size(), " bytes; expected ", image));
  }
  if (written_ + static_cast<int64_t>(labels_.size()) == shape_.count) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": more than its ", shape_.count, " images came"));
  }
  pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
  labels_.push_back(label);
  return static_cast<int64_t>(labels_.size()) == chunk_images_ ? WriteChunk() : absl::OkStatus();
}

absl::Status ShardWriter::WriteChunk() {
  if (labels_.empty()) return absl::OkStatus();
  const Hdf5Lock lock;
  const hsize_t rows = labels_.size();
  FT_RETURN_IF_ERROR(
      WriteRows(path_, file_->images, "images", H5T_NATIVE_UINT8, written_,
                {rows, static_cast<hsize_t>(shape_.height), static_cast<hsize_t>(shape_.width),
                 static_cast<hsize_t>(shape_.channels)},
                pixels_.data()));
  FT_RETURN_IF_ERROR(WriteRows(path_, file_->labels, "labels", H5T_NATIVE_INT64, written_, {rows},
                               labels_.data()));
  written_ += static_cast<int64_t>(rows);
  pixels_.clear();
  labels_.clear();
  return absl::OkStatus();
}

absl::Status ShardWriter::Finish() {
  FT_RETURN_IF_ERROR(WriteChunk());
  if (written_ != shape_.count) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": ", written_, " images of ", shape_.count, " came"));
  }
  {
    const Hdf5Lock lock;
    if (!file_->labels.Reset() || !file_->images.Reset() || !file_->file.Reset()) {
      return Hdf5Error(path_, "cannot write");
    }
  }
  return SyncFile(path_);
}

}  // namespace finetune
