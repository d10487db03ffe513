#include "src/data/encoded_shard_reader.h"

#include <hdf5.h>
#include <zlib.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/manifest.h"
#include "src/data/shard_hdf5.h"

namespace finetune {
namespace {

// HDF5 reads a row of `sizes` directly into an ImageSize.
static_assert(sizeof(ImageSize) == 2 * sizeof(int32_t));

// The least number of bytes in a shard for each image: its offset, size, label and checksum, and
// one byte of data.
constexpr int64_t kLeastBytes = 8 + 8 + 8 + 4 + 1;
// The largest size of an encoded image in bytes. prepare_dataset refuses larger files.
constexpr int64_t kMostBytes = int64_t{1} << 30;

}  // namespace

absl::StatusOr<std::unique_ptr<EncodedShardReader>> EncodedShardReader::Open(
    const std::string& folder, const DatasetShard& entry, const DatasetManifest& manifest,
    bool keep_open) {
  FT_ASSIGN_OR_RETURN(ShardFile file, ShardFile::Open(absl::StrCat(folder, "/", entry.file())));
  std::unique_ptr<EncodedShardReader> reader(new EncodedShardReader(std::move(file)));
  FT_RETURN_IF_ERROR(reader->Index(entry, manifest));
  if (!keep_open) reader->file_.Close();
  return reader;
}

absl::Status EncodedShardReader::Index(const DatasetShard& entry, const DatasetManifest& manifest) {
  const std::string& path = file_.path();
  const int64_t count = entry.count();
  // A wrong count in the manifest must not make the program allocate much memory.
  if (count > file_.size() / kLeastBytes) {
    return absl::DataLossError(absl::StrCat(path, ": has ", file_.size(),
                                            " bytes, too few for its ", count,
                                            " images: it is cut short. Prepare the data again"));
  }
  const Hdf5Lock lock;
  FT_ASSIGN_OR_RETURN(const Hdf5Handle file, OpenShardFile(path));
  int64_t total = 0;
  FT_ASSIGN_OR_RETURN(const OpenDataset bytes, OpenPlainBytes(path, file.get(), "bytes", &total));
  if (total > file_.size()) {
    return absl::DataLossError(
        absl::StrCat(path, ": bytes has ", total, "; the whole file has ", file_.size()));
  }
  chunk_bytes_ = bytes.chunk_length;
  FT_ASSIGN_OR_RETURN(chunk_at_,
                      FindChunks(path, bytes, "byte", total, chunk_bytes_, file_.size()));

  const hsize_t n = count;
  const auto read = [&](const char* name, const char* row, hid_t stored, hid_t type,
                        const std::vector<hsize_t>& shape, void* values) -> absl::Status {
    FT_ASSIGN_OR_RETURN(const OpenDataset table,
                        OpenChecked(path, file.get(), name, stored, shape));
    return ReadAll(path, table, name, row, type, static_cast<int64_t>(shape[0]), values);
  };
  offsets_.resize(count + 1);
  sizes_.resize(count);
  sums_.resize(count);
  FT_RETURN_IF_ERROR(
      read("offsets", "offset", H5T_STD_I64LE, H5T_NATIVE_INT64, {n + 1}, offsets_.data()));
  FT_RETURN_IF_ERROR(read("sizes", "size", H5T_STD_I32LE, H5T_NATIVE_INT32, {n, 2}, sizes_.data()));
  FT_RETURN_IF_ERROR(read("crc32", "sum", H5T_STD_U32LE, H5T_NATIVE_UINT32, {n}, sums_.data()));
  FT_ASSIGN_OR_RETURN(const OpenDataset labels,
                      OpenChecked(path, file.get(), "labels", H5T_STD_I64LE, {n}));
  FT_ASSIGN_OR_RETURN(labels_, ReadLabels(path, labels, count, manifest.class_name_size()));
  checked_ = std::vector<std::atomic<bool>>(count);
  return CheckTables(manifest, total);
}

absl::Status EncodedShardReader::CheckTables(const DatasetManifest& manifest, int64_t total) const {
  if (offsets_.front() != 0 || offsets_.back() != total) {
    return absl::DataLossError(absl::StrCat(path(), ": offsets go from ", offsets_.front(), " to ",
                                            offsets_.back(), "; bytes go from 0 to ", total));
  }
  for (int64_t i = 0; i < size(); ++i) {
    // The offsets are compared before bytes(i) subtracts them, because the difference could
    // overflow.
    if (offsets_[i] >= offsets_[i + 1] || offsets_[i + 1] > total || bytes(i) > kMostBytes) {
      return absl::DataLossError(absl::StrCat(path(), ": image ", i, " has bytes ", offsets_[i],
                                              " to ", offsets_[i + 1], "; expected 1 to ",
                                              kMostBytes, " of them"));
    }
    const ImageSize& size = sizes_[i];
    if (size.height < 1 || size.width < 1 || int64_t{size.height} * size.width > kMaxPixels) {
      return absl::DataLossError(absl::StrCat(path(), ": image ", i, " is ", size.height, "x",
                                              size.width, " (height x width); expected 1 to ",
                                              kMaxPixels, " pixels"));
    }
    if (manifest.height() != 0 && size != ImageSize{manifest.height(), manifest.width()}) {
      return absl::DataLossError(absl::StrCat(path(), ": image ", i, " is ", size.height, "x",
                                              size.width, " (height x width); the manifest says ",
                                              manifest.height(), "x", manifest.width()));
    }
  }
  return absl::OkStatus();
}

absl::Status EncodedShardReader::ReadRange(int64_t offset, int64_t size, uint8_t* to) const {
  while (size > 0) {
    size_t chunk = offset / chunk_bytes_;
    const int64_t in_chunk = offset % chunk_bytes_;
    const int64_t at = chunk_at_[chunk] + in_chunk;
    int64_t n = chunk_bytes_ - in_chunk;
    // Chunks that follow each other in the file are read with one call.
    while (n < size && chunk_at_[chunk + 1] == chunk_at_[chunk] + chunk_bytes_) {
      n += chunk_bytes_;
      ++chunk;
    }
    n = std::min(n, size);
    FT_RETURN_IF_ERROR(file_.Read(at, n, to));
    offset += n;
    to += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status EncodedShardReader::Read(int64_t index, std::string* bytes) const {
  bytes->resize(this->bytes(index));
  auto* const data = reinterpret_cast<uint8_t*>(bytes->data());
  FT_RETURN_IF_ERROR(ReadRange(offsets_[index], this->bytes(index), data));
  if (checked_[index].load(std::memory_order_relaxed)) return absl::OkStatus();
  const auto sum = static_cast<uint32_t>(crc32_z(0, data, bytes->size()));
  if (sum != sums_[index]) {
    return absl::DataLossError(
        absl::StrCat(path(), ": the checksum of image ", index, " (bytes ", offsets_[index], " to ",
                     offsets_[index + 1] - 1,
                     " of its `bytes`) is wrong: the file is damaged. Prepare the data "
                     "again"));
  }
  checked_[index].store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

absl::Status EncodedShardReader::ReadHead(int64_t index, std::string* bytes) const {
  bytes->resize(std::min<int64_t>(16, this->bytes(index)));
  return ReadRange(offsets_[index], static_cast<int64_t>(bytes->size()),
                   reinterpret_cast<uint8_t*>(bytes->data()));
}

}  // namespace finetune
