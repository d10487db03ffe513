#include "src/data/shard_reader.h"

#include <hdf5.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/data/manifest.h"
#include "src/data/shard_hdf5.h"

namespace finetune {
namespace {

constexpr int64_t kSumBytes = 4;

// Returns the Fletcher-32 checksum as HDF5 computes it: over big-endian 16-bit words, with sums
// modulo 65535. If the number of bytes is odd, the last byte is the upper half of a word.
uint32_t Fletcher32(absl::Span<const uint8_t> bytes) {
  uint32_t low = 0, high = 0;
  const auto fold = [](uint32_t sum) { return (sum & 0xffff) + (sum >> 16); };
  const uint8_t* at = bytes.data();
  for (size_t words = bytes.size() / 2; words > 0;) {
    // The sums are reduced after at most 360 words, so that `high` cannot overflow 32 bits.
    const size_t block = std::min<size_t>(words, 360);
    for (size_t i = 0; i < block; ++i, at += 2) {
      low += uint32_t{at[0]} << 8 | at[1];
      high += low;
    }
    low = fold(low);
    high = fold(high);
    words -= block;
  }
  if (bytes.size() % 2 != 0) {
    low = fold(low + (uint32_t{*at} << 8));
    high = fold(high + low);
  }
  return fold(high) << 16 | fold(low);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShardReader>> ShardReader::Open(const std::string& folder,
                                                               const DatasetShard& entry,
                                                               const DatasetManifest& manifest,
                                                               bool keep_open) {
  FT_ASSIGN_OR_RETURN(ShardFile file, ShardFile::Open(absl::StrCat(folder, "/", entry.file())));
  std::unique_ptr<ShardReader> reader(new ShardReader(std::move(file)));
  FT_RETURN_IF_ERROR(reader->Index(entry, manifest));
  if (!keep_open) reader->file_.Close();
  return reader;
}

absl::Status ShardReader::Index(const DatasetShard& entry, const DatasetManifest& manifest) {
  const std::string& path = file_.path();
  image_bytes_ = ImageBytes(manifest);
  // A wrong count in the manifest must not make the program allocate much memory.
  const int64_t count = entry.count();
  if (count > file_.size() / (image_bytes_ + static_cast<int64_t>(sizeof(int64_t)))) {
    return absl::DataLossError(
        absl::StrCat(path, ": has ", file_.size(), " bytes, too few for its ", count, " images of ",
                     image_bytes_, " bytes: it is cut short. Prepare the data again"));
  }

  const Hdf5Lock lock;
  FT_ASSIGN_OR_RETURN(const Hdf5Handle file, OpenShardFile(path));
  const hsize_t length = count;
  const std::vector<hsize_t> shape = {length, static_cast<hsize_t>(manifest.height()),
                                      static_cast<hsize_t>(manifest.width()),
                                      static_cast<hsize_t>(manifest.channels())};
  FT_ASSIGN_OR_RETURN(const OpenDataset images,
                      OpenChecked(path, file.get(), "images", H5T_STD_U8LE, shape));
  FT_ASSIGN_OR_RETURN(const OpenDataset labels,
                      OpenChecked(path, file.get(), "labels", H5T_STD_I64LE, {length}));
  chunk_images_ = images.chunk_length;
  FT_ASSIGN_OR_RETURN(
      chunk_at_, FindChunks(path, images, "image", count, chunk_images_ * image_bytes_ + kSumBytes,
                            file_.size()));
  checked_ = std::vector<std::atomic<bool>>(chunk_at_.size());
  FT_ASSIGN_OR_RETURN(labels_, ReadLabels(path, labels, count, manifest.class_name_size()));
  return absl::OkStatus();
}

absl::Status ShardReader::Read(int64_t index, uint8_t* pixels) const {
  const int64_t chunk = index / chunk_images_;
  const int64_t in_chunk = index % chunk_images_ * image_bytes_;
  if (checked_[chunk].load(std::memory_order_relaxed)) {
    return file_.Read(chunk_at_[chunk] + in_chunk, image_bytes_, pixels);
  }
  std::vector<uint8_t> bytes(chunk_images_ * image_bytes_ + kSumBytes);
  FT_RETURN_IF_ERROR(
      file_.Read(chunk_at_[chunk], static_cast<int64_t>(bytes.size()), bytes.data()));
  const uint8_t* sum = bytes.data() + bytes.size() - kSumBytes;
  const uint32_t stored =
      sum[0] | uint32_t{sum[1]} << 8 | uint32_t{sum[2]} << 16 | uint32_t{sum[3]} << 24;
  if (Fletcher32({bytes.data(), bytes.size() - kSumBytes}) != stored) {
    const int64_t first = chunk * chunk_images_;
    return absl::DataLossError(
        absl::StrCat(file_.path(), ": the checksum of images ", first, " to ",
                     std::min(first + chunk_images_, size()) - 1, " (from byte ", chunk_at_[chunk],
                     ") is wrong: the file is damaged. Prepare the data again"));
  }
  std::copy_n(bytes.begin() + in_chunk, image_bytes_, pixels);
  checked_[chunk].store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace finetune
