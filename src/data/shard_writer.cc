#include "src/data/shard_writer.h"

#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/fd.h"
#include "src/base/system_error.h"
#include "src/data/hdf5_handle.h"

namespace finetune {
namespace {

// A chunk is checked as a whole when one of its pictures is first read, and found through an index
// whose size is the number of chunks.
constexpr int64_t kChunkBytes = 256 << 10;

absl::StatusOr<Hdf5Handle> CreateDataset(const std::string& path, hid_t file, const char* name,
                                         hid_t type, const std::vector<hsize_t>& shape,
                                         hsize_t chunk_length) {
  const int rank = static_cast<int>(shape.size());
  std::vector<hsize_t> chunk = shape;
  chunk[0] = std::min(chunk[0], chunk_length);
  const Hdf5Handle space(H5Screate_simple(rank, shape.data(), nullptr), H5Sclose);
  const Hdf5Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (!space.ok() || !options.ok() || H5Pset_chunk(options.get(), rank, chunk.data()) < 0 ||
      H5Pset_fletcher32(options.get()) < 0 || H5Pset_obj_track_times(options.get(), false) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot describe ", name));
  }
  Hdf5Handle dataset(
      H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, options.get(), H5P_DEFAULT), H5Dclose);
  if (!dataset.ok()) return Hdf5Error(path, absl::StrCat("cannot create ", name));
  return dataset;
}

// Writes values [begin, begin + count) along the first dimension.
absl::Status WriteRows(const std::string& path, const Hdf5Handle& dataset, const char* name,
                       hid_t type, int64_t begin, std::vector<hsize_t> rows, const void* values) {
  std::vector<hsize_t> start(rows.size(), 0);
  start[0] = begin;
  const Hdf5Handle there(H5Dget_space(dataset.get()), H5Sclose);
  const Hdf5Handle here(H5Screate_simple(static_cast<int>(rows.size()), rows.data(), nullptr),
                        H5Sclose);
  if (!there.ok() || !here.ok() ||
      H5Sselect_hyperslab(there.get(), H5S_SELECT_SET, start.data(), nullptr, rows.data(),
                          nullptr) < 0 ||
      H5Dwrite(dataset.get(), type, here.get(), there.get(), H5P_DEFAULT, values) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot write ", name));
  }
  return absl::OkStatus();
}

absl::Status SyncFile(const std::string& path) {
  const Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok() || fsync(fd.get()) != 0) return SystemError("cannot sync", path, errno);
  return absl::OkStatus();
}

}  // namespace

struct ShardWriter::File {
  // Closed in the opposite order.
  Hdf5Handle file, images, labels;
};

absl::StatusOr<std::unique_ptr<ShardWriter>> ShardWriter::Create(const std::string& path,
                                                                 const ShardShape& shape) {
  if (shape.count < 1 || shape.height < 1 || shape.width < 1 || shape.channels < 1) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": a shard of no pictures"));
  }
  const Hdf5Lock lock;
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // Network file systems often have no locks, and nobody else knows this file yet.
  if (!access.ok() || H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
      H5Pset_file_locking(access.get(), false, true) < 0) {
    return Hdf5Error(path, "cannot describe the file");
  }
  // No times, so that the same pictures make the same bytes: their checksum is their identity.
  const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  if (!creation.ok() || H5Pset_obj_track_times(creation.get(), false) < 0) {
    return Hdf5Error(path, "cannot describe the file");
  }
  auto file = std::make_unique<File>();
  file->file =
      Hdf5Handle(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
  if (!file->file.ok()) return Hdf5Error(path, "cannot create");
  const hsize_t count = shape.count, height = shape.height, width = shape.width,
                channels = shape.channels;
  auto writer = std::unique_ptr<ShardWriter>(new ShardWriter(path, shape, nullptr));
  FT_ASSIGN_OR_RETURN(file->images,
                      CreateDataset(path, file->file.get(), "images", H5T_STD_U8LE,
                                    {count, height, width, channels}, writer->chunk_pictures_));
  FT_ASSIGN_OR_RETURN(file->labels, CreateDataset(path, file->file.get(), "labels", H5T_STD_I64LE,
                                                  {count}, kChunkBytes / sizeof(int64_t)));
  writer->file_ = std::move(file);
  return writer;
}

ShardWriter::ShardWriter(std::string path, const ShardShape& shape, std::unique_ptr<File> file)
    : path_(std::move(path)), shape_(shape), file_(std::move(file)) {
  const int64_t picture = int64_t{shape.height} * shape.width * shape.channels;
  chunk_pictures_ = std::clamp<int64_t>(kChunkBytes / picture, 1, shape.count);
  pixels_.reserve(chunk_pictures_ * picture);
  labels_.reserve(chunk_pictures_);
}

ShardWriter::~ShardWriter() {
  const Hdf5Lock lock;
  file_.reset();
}

absl::Status ShardWriter::Append(absl::Span<const uint8_t> pixels, int64_t label) {
  const int64_t picture = int64_t{shape_.height} * shape_.width * shape_.channels;
  if (static_cast<int64_t>(pixels.size()) != picture) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": a picture of ", pixels.size(), " bytes; expected ", picture));
  }
  if (written_ + static_cast<int64_t>(labels_.size()) == shape_.count) {
    return absl::FailedPreconditionError(
        absl::StrCat(path_, ": more than its ", shape_.count, " pictures came"));
  }
  pixels_.insert(pixels_.end(), pixels.begin(), pixels.end());
  labels_.push_back(label);
  return static_cast<int64_t>(labels_.size()) == chunk_pictures_ ? WriteChunk() : absl::OkStatus();
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
        absl::StrCat(path_, ": ", written_, " pictures of ", shape_.count, " came"));
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
