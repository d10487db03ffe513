#include "src/data/shard.h"

#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/sha256.h"
#include "src/data/hdf5_handle.h"
#include "src/data/manifest.h"

namespace finetune {
namespace {

absl::Status WriteDataset(const std::string& path, hid_t file, const char* name, hid_t type,
                          const std::vector<hsize_t>& shape, const void* values) {
  const int rank = static_cast<int>(shape.size());
  std::vector<hsize_t> chunk = shape;
  chunk[0] = std::min<hsize_t>(chunk[0], kShardChunk);
  const Hdf5Handle space(H5Screate_simple(rank, shape.data(), nullptr), H5Sclose);
  const Hdf5Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (!space.ok() || !options.ok() || H5Pset_chunk(options.get(), rank, chunk.data()) < 0 ||
      H5Pset_fletcher32(options.get()) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot describe ", name));
  }
  const Hdf5Handle dataset(
      H5Dcreate2(file, name, type, space.get(), H5P_DEFAULT, options.get(), H5P_DEFAULT), H5Dclose);
  if (!dataset.ok() || H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot write ", name));
  }
  return absl::OkStatus();
}

// Reads a whole data set whose class and shape must be as expected.
absl::Status ReadDataset(const std::string& path, hid_t file, const char* name, H5T_class_t kind,
                         hid_t type, const std::vector<hsize_t>& expected, void* values) {
  const Hdf5Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (!dataset.ok()) return Hdf5Error(path, absl::StrCat("has no data set ", name));
  const Hdf5Handle space(H5Dget_space(dataset.get()), H5Sclose);
  const Hdf5Handle stored(H5Dget_type(dataset.get()), H5Tclose);
  if (!space.ok() || !stored.ok()) return Hdf5Error(path, absl::StrCat("cannot read ", name));
  if (H5Tget_class(stored.get()) != kind || H5Tget_size(stored.get()) > 8) {
    return absl::DataLossError(absl::StrCat(path, ": ", name, " does not hold integers"));
  }
  std::array<hsize_t, H5S_MAX_RANK> shape = {};
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > H5S_MAX_RANK ||
      H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr) != rank) {
    return Hdf5Error(path, absl::StrCat("cannot read the shape of ", name));
  }
  const std::vector<hsize_t> actual(shape.begin(), shape.begin() + rank);
  if (actual != expected) {
    return absl::DataLossError(absl::StrCat(path, ": ", name, " is [", absl::StrJoin(actual, ", "),
                                            "]; its manifest says [", absl::StrJoin(expected, ", "),
                                            "]"));
  }
  if (H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot read ", name, "; the file is damaged"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteShard(const std::string& path, absl::Span<const uint8_t> images,
                        absl::Span<const int64_t> labels, int height, int width, int channels) {
  const Hdf5Quiet quiet;
  const hsize_t count = labels.size();
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) return Hdf5Error(path, "cannot create");
  const std::vector<hsize_t> shape = {count, static_cast<hsize_t>(height),
                                      static_cast<hsize_t>(width), static_cast<hsize_t>(channels)};
  FT_RETURN_IF_ERROR(
      WriteDataset(path, file.get(), "images", H5T_NATIVE_UINT8, shape, images.data()));
  FT_RETURN_IF_ERROR(
      WriteDataset(path, file.get(), "labels", H5T_NATIVE_INT64, {count}, labels.data()));
  if (H5Fflush(file.get(), H5F_SCOPE_GLOBAL) < 0) return Hdf5Error(path, "cannot write");
  return absl::OkStatus();
}

absl::StatusOr<Shard> ReadShard(const std::string& folder, const DatasetShard& entry,
                                const DatasetManifest& manifest) {
  const Hdf5Quiet quiet;
  const std::string path = absl::StrCat(folder, "/", entry.file());
  std::error_code error;
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (error) {
    return absl::NotFoundError(absl::StrCat("cannot open ", path, ": ", error.message()));
  }
  // The pictures are stored as they are, so a shard that is smaller than they are is cut short. It
  // also bounds what the manifest can make us allocate.
  const int64_t bytes = entry.count() * PictureBytes(manifest);
  if (entry.count() > int64_t{1} << 40 || static_cast<uintmax_t>(bytes) > size) {
    return absl::DataLossError(absl::StrCat(path, ": has ", size, " bytes; its ", entry.count(),
                                            " pictures alone are ", bytes,
                                            ": the file is cut short. Prepare the data again"));
  }
  // Fletcher-32 covers the pixels but not HDF5's own structures, and a damaged one can make a chunk
  // read as zeros.
  FT_ASSIGN_OR_RETURN(const std::string sum, Sha256OfFile(path));
  if (sum != entry.sha256()) {
    return absl::DataLossError(absl::StrCat(path, ": its SHA-256 is ", sum, "; the manifest says ",
                                            entry.sha256(),
                                            ": the file is damaged. Prepare the data again"));
  }
  const Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose);
  if (!file.ok()) return Hdf5Error(path, "is no whole HDF5 file");
  Shard shard;
  shard.images.resize(bytes);
  shard.labels.resize(entry.count());
  const hsize_t count = entry.count();
  FT_RETURN_IF_ERROR(ReadDataset(
      path, file.get(), "images", H5T_INTEGER, H5T_NATIVE_UINT8,
      {count, static_cast<hsize_t>(manifest.height()), static_cast<hsize_t>(manifest.width()),
       static_cast<hsize_t>(manifest.channels())},
      shard.images.data()));
  FT_RETURN_IF_ERROR(ReadDataset(path, file.get(), "labels", H5T_INTEGER, H5T_NATIVE_INT64, {count},
                                 shard.labels.data()));
  for (size_t i = 0; i < shard.labels.size(); ++i) {
    if (shard.labels[i] < 0 || shard.labels[i] >= manifest.class_name_size()) {
      return absl::DataLossError(absl::StrCat(path, ": picture ", i, " has label ", shard.labels[i],
                                              "; there are ", manifest.class_name_size(),
                                              " classes"));
    }
  }
  return shard;
}

}  // namespace finetune
