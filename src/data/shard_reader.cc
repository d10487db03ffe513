#include "src/data/shard_reader.h"

#include <fcntl.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/system_error.h"
#include "src/data/hdf5_handle.h"
#include "src/data/manifest.h"

namespace finetune {
namespace {

constexpr int64_t kSumBytes = 4;

// HDF5's Fletcher-32: over big-endian 16-bit words, sums modulo 65535, an odd last byte as the
// upper half of a word.
uint32_t Fletcher32(absl::Span<const uint8_t> bytes) {
  uint32_t low = 0, high = 0;
  const auto fold = [](uint32_t sum) { return (sum & 0xffff) + (sum >> 16); };
  const uint8_t* at = bytes.data();
  for (size_t words = bytes.size() / 2; words > 0;) {
    // As many words as cannot overflow `high`.
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

// A data set of a shard, whose type, shape, layout and filters are as ShardWriter makes them.
struct OpenDataset {
  Hdf5Handle dataset;
  // Elements of the first dimension in a chunk.
  int64_t chunk_length = 0;
};

absl::StatusOr<OpenDataset> OpenChecked(const std::string& path, hid_t file, const char* name,
                                        hid_t type, const std::vector<hsize_t>& shape) {
  const auto bad = [&](const auto&... parts) {
    return absl::DataLossError(absl::StrCat(path, ": ", name, " ", parts...));
  };
  // A link to another file would lead out of the folder.
  H5L_info_t link;
  if (H5Lget_info(file, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
    return Hdf5Error(path, absl::StrCat("has no data set ", name));
  }
  OpenDataset open;
  open.dataset = Hdf5Handle(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (!open.dataset.ok()) return Hdf5Error(path, absl::StrCat("has no data set ", name));
  const Hdf5Handle space(H5Dget_space(open.dataset.get()), H5Sclose);
  const Hdf5Handle stored(H5Dget_type(open.dataset.get()), H5Tclose);
  const Hdf5Handle options(H5Dget_create_plist(open.dataset.get()), H5Pclose);
  if (!space.ok() || !stored.ok() || !options.ok()) {
    return Hdf5Error(path, absl::StrCat("cannot read the description of ", name));
  }
  if (H5Tequal(stored.get(), type) <= 0) return bad("is not of the type expected of it");

  std::array<hsize_t, H5S_MAX_RANK> extent = {};
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > H5S_MAX_RANK ||
      H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr) != rank) {
    return Hdf5Error(path, absl::StrCat("cannot read the shape of ", name));
  }
  const std::vector<hsize_t> actual(extent.begin(), extent.begin() + rank);
  if (actual != shape) {
    return bad("is [", absl::StrJoin(actual, ", "), "]; its manifest says [",
               absl::StrJoin(shape, ", "), "]");
  }

  // Anything but these lets a small file ask for much memory, or for other files.
  unsigned flags = 0, settings = 0;
  size_t setting_count = 0;
  std::array<hsize_t, H5S_MAX_RANK> chunk = {};
  if (H5Pget_layout(options.get()) != H5D_CHUNKED || H5Pget_nfilters(options.get()) != 1 ||
      H5Pget_filter2(options.get(), 0, &flags, &setting_count, &settings, 0, nullptr, nullptr) !=
          H5Z_FILTER_FLETCHER32 ||
      H5Pget_chunk(options.get(), rank, chunk.data()) != rank || chunk[0] < 1 ||
      chunk[0] > shape[0] || !std::equal(shape.begin() + 1, shape.end(), chunk.begin() + 1)) {
    return bad(
        "is not stored as prepare_dataset stores it (chunks of whole pictures with a "
        "Fletcher-32 sum and no other filter)");
  }
  open.chunk_length = static_cast<int64_t>(chunk[0]);
  return open;
}

absl::StatusOr<Fd> OpenShard(const std::string& path) {
  // O_NONBLOCK: a pipe of that name would be waited for.
  Fd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (fd.ok()) return fd;
  const int error = errno;
  const char* const advice =
      error == ENOENT   ? "; its manifest lists it"
      : error == EMFILE ? "; the process may have no more files open: raise `ulimit -n`"
      : error == ENFILE ? "; the host has too many files open in all its processes"
                        : "";
  const absl::Status status = SystemError("cannot open", path, error);
  return absl::Status(status.code(), absl::StrCat(status.message(), advice));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShardReader>> ShardReader::Open(const std::string& folder,
                                                               const DatasetShard& entry,
                                                               const DatasetManifest& manifest,
                                                               bool keep_open) {
  const std::string path = absl::StrCat(folder, "/", entry.file());
  FT_ASSIGN_OR_RETURN(Fd fd, OpenShard(path));
  std::unique_ptr<ShardReader> reader(new ShardReader(path, std::move(fd)));
  FT_RETURN_IF_ERROR(reader->Index(entry, manifest));
  if (!keep_open) reader->fd_ = Fd();
  return reader;
}

absl::StatusOr<Fd> ShardReader::OpenAgain() const {
  FT_ASSIGN_OR_RETURN(Fd fd, OpenShard(path_));
  struct stat info;
  if (fstat(fd.get(), &info) != 0 || info.st_dev != device_ || info.st_ino != inode_) {
    return absl::DataLossError(absl::StrCat(
        path_, ": another file took its place while it was in use. Start the run again"));
  }
  return fd;
}

absl::Status ShardReader::Index(const DatasetShard& entry, const DatasetManifest& manifest) {
  struct stat info;
  if (fstat(fd_.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return absl::DataLossError(absl::StrCat(path_, ": expected a regular file"));
  }
  const int64_t file_size = info.st_size;
  device_ = info.st_dev;
  inode_ = info.st_ino;
  picture_bytes_ = PictureBytes(manifest);
  // Pictures are stored as they are, so this bounds everything that is allocated below.
  const int64_t count = entry.count();
  if (count > file_size / (picture_bytes_ + static_cast<int64_t>(sizeof(int64_t)))) {
    return absl::DataLossError(absl::StrCat(path_, ": has ", file_size, " bytes, too few for its ",
                                            count, " pictures of ", picture_bytes_,
                                            " bytes: it is cut short. Prepare the data again"));
  }

  const Hdf5Lock lock;
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // Network file systems often have no locks, and shards are never changed in place.
  if (!access.ok() || H5Pset_file_locking(access.get(), false, true) < 0) {
    return Hdf5Error(path_, "cannot describe the file");
  }
  const Hdf5Handle file(H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!file.ok()) return Hdf5Error(path_, "cannot be read as a whole HDF5 file");
  const hsize_t length = count;
  const std::vector<hsize_t> shape = {length, static_cast<hsize_t>(manifest.height()),
                                      static_cast<hsize_t>(manifest.width()),
                                      static_cast<hsize_t>(manifest.channels())};
  FT_ASSIGN_OR_RETURN(const OpenDataset images,
                      OpenChecked(path_, file.get(), "images", H5T_STD_U8LE, shape));
  FT_ASSIGN_OR_RETURN(const OpenDataset labels,
                      OpenChecked(path_, file.get(), "labels", H5T_STD_I64LE, {length}));

  chunk_pictures_ = images.chunk_length;
  const int64_t chunk_bytes = chunk_pictures_ * picture_bytes_ + kSumBytes;
  chunk_at_.reserve((count + chunk_pictures_ - 1) / chunk_pictures_);
  for (int64_t first = 0; first < count; first += chunk_pictures_) {
    const std::array<hsize_t, 4> offset = {static_cast<hsize_t>(first)};
    unsigned skipped_filters = 0;
    haddr_t at = HADDR_UNDEF;
    hsize_t size = 0;
    if (H5Dget_chunk_info_by_coord(images.dataset.get(), offset.data(), &skipped_filters, &at,
                                   &size) < 0) {
      return Hdf5Error(path_, absl::StrCat("cannot find the chunk of picture ", first));
    }
    // HDF5 takes a chunk that was never written for one of zeros.
    if (at == HADDR_UNDEF || skipped_filters != 0 || size != static_cast<hsize_t>(chunk_bytes) ||
        chunk_bytes > file_size || at > static_cast<haddr_t>(file_size - chunk_bytes)) {
      return absl::DataLossError(
          absl::StrCat(path_, ": the chunk of picture ", first, " is missing or broken"));
    }
    chunk_at_.push_back(static_cast<int64_t>(at));
  }
  checked_ = std::vector<std::atomic<bool>>(chunk_at_.size());

  for (int64_t first = 0; first < count; first += labels.chunk_length) {
    const hsize_t offset = first;
    unsigned skipped_filters = 0;
    haddr_t at = HADDR_UNDEF;
    hsize_t size = 0;
    if (H5Dget_chunk_info_by_coord(labels.dataset.get(), &offset, &skipped_filters, &at, &size) <
            0 ||
        at == HADDR_UNDEF || skipped_filters != 0) {
      return Hdf5Error(path_, absl::StrCat("the chunk of label ", first, " is missing or broken"));
    }
  }
  labels_.resize(count);
  if (H5Dread(labels.dataset.get(), H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT,
              labels_.data()) < 0) {
    return Hdf5Error(path_, "cannot read labels; the file is damaged");
  }
  for (int64_t i = 0; i < count; ++i) {
    if (labels_[i] < 0 || labels_[i] >= manifest.class_name_size()) {
      return absl::DataLossError(absl::StrCat(path_, ": picture ", i, " has label ", labels_[i],
                                              "; there are ", manifest.class_name_size(),
                                              " classes"));
    }
  }
  return absl::OkStatus();
}

absl::Status ShardReader::ReadBytes(int64_t at, int64_t size, uint8_t* bytes) const {
  Fd again;
  if (!fd_.ok()) {
    FT_ASSIGN_OR_RETURN(again, OpenAgain());
  }
  const int fd = fd_.ok() ? fd_.get() : again.get();
  while (size > 0) {
    const ssize_t n = pread(fd, bytes, size, at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return absl::DataLossError(absl::StrCat(
          path_, ": cannot read byte ", at, ": ",
          n == 0 ? "the file was cut short while it was in use" : std::strerror(errno)));
    }
    bytes += n;
    at += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status ShardReader::Read(int64_t index, uint8_t* pixels) const {
  const int64_t chunk = index / chunk_pictures_;
  const int64_t in_chunk = index % chunk_pictures_ * picture_bytes_;
  if (checked_[chunk].load(std::memory_order_relaxed)) {
    return ReadBytes(chunk_at_[chunk] + in_chunk, picture_bytes_, pixels);
  }
  std::vector<uint8_t> bytes(chunk_pictures_ * picture_bytes_ + kSumBytes);
  FT_RETURN_IF_ERROR(ReadBytes(chunk_at_[chunk], static_cast<int64_t>(bytes.size()), bytes.data()));
  const uint8_t* sum = bytes.data() + bytes.size() - kSumBytes;
  const uint32_t stored =
      sum[0] | uint32_t{sum[1]} << 8 | uint32_t{sum[2]} << 16 | uint32_t{sum[3]} << 24;
  if (Fletcher32({bytes.data(), bytes.size() - kSumBytes}) != stored) {
    const int64_t first = chunk * chunk_pictures_;
    return absl::DataLossError(
        absl::StrCat(path_, ": the checksum of pictures ", first, " to ",
                     std::min(first + chunk_pictures_, size()) - 1, " (from byte ",
                     chunk_at_[chunk], ") is wrong: the file is damaged. Prepare the data again"));
  }
  std::copy_n(bytes.begin() + in_chunk, picture_bytes_, pixels);
  checked_[chunk].store(true, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace finetune
