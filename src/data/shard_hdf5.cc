#include "src/data/shard_hdf5.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace finetune {
namespace {

template <typename... Parts>
absl::Status Bad(const std::string& path, const char* name, const Parts&... parts) {
  return absl::DataLossError(absl::StrCat(path, ": ", name, " ", parts...));
}

// An HDF5 data set, its creation options and its shape.
struct Described {
  Hdf5Handle dataset, options;
  std::vector<hsize_t> shape;
};

absl::StatusOr<Described> Describe(const std::string& path, hid_t file, const char* name,
                                   hid_t type) {
  // Only hard links (HDF5's name for entries in the same file) are accepted: an external link could
  // lead to a file outside the folder.
  H5L_info_t link;
  if (H5Lget_info(file, name, &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
    return Hdf5Error(path, absl::StrCat("has no data set ", name));
  }
  Described found;
  found.dataset = Hdf5Handle(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (!found.dataset.ok()) return Hdf5Error(path, absl::StrCat("has no data set ", name));
  const Hdf5Handle space(H5Dget_space(found.dataset.get()), H5Sclose);
  const Hdf5Handle stored(H5Dget_type(found.dataset.get()), H5Tclose);
  found.options = Hdf5Handle(H5Dget_create_plist(found.dataset.get()), H5Pclose);
  if (!space.ok() || !stored.ok() || !found.options.ok()) {
    return Hdf5Error(path, absl::StrCat("cannot read the description of ", name));
  }
  if (H5Tequal(stored.get(), type) <= 0) {
    return Bad(path, name, "is not of the type expected of it");
  }
  std::array<hsize_t, H5S_MAX_RANK> extent = {};
  const int rank = H5Sget_simple_extent_ndims(space.get());
  if (rank < 0 || rank > H5S_MAX_RANK ||
      H5Sget_simple_extent_dims(space.get(), extent.data(), nullptr) != rank) {
    return Hdf5Error(path, absl::StrCat("cannot read the shape of ", name));
  }
  found.shape.assign(extent.begin(), extent.begin() + rank);
  return found;
}

}  // namespace

absl::StatusOr<Hdf5Handle> CreateShardFile(const std::string& path) {
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // HDF5's file locks are switched off: many network file systems do not support locks, and no
  // other process uses this new file yet.
  if (!access.ok() || H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_V110) < 0 ||
      H5Pset_file_locking(access.get(), false, true) < 0) {
    return Hdf5Error(path, "cannot describe the file");
  }
  const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
  if (!creation.ok() || H5Pset_obj_track_times(creation.get(), false) < 0) {
    return Hdf5Error(path, "cannot describe the file");
  }
  Hdf5Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation.get(), access.get()), H5Fclose);
  if (!file.ok()) return Hdf5Error(path, "cannot create");
  return file;
}

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

absl::Status WriteRows(const std::string& path, const Hdf5Handle& dataset, const char* name,
                       hid_t type, int64_t begin, const std::vector<hsize_t>& rows,
                       const void* values) {
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

absl::StatusOr<Hdf5Handle> CreatePlainBytes(const std::string& path, hid_t file, const char* name,
                                            int64_t chunk_bytes) {
  const hsize_t none = 0, unlimited = H5S_UNLIMITED, chunk = chunk_bytes;
  const Hdf5Handle space(H5Screate_simple(1, &none, &unlimited), H5Sclose);
  const Hdf5Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  if (!space.ok() || !options.ok() || H5Pset_chunk(options.get(), 1, &chunk) < 0 ||
      H5Pset_obj_track_times(options.get(), false) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot describe ", name));
  }
  Hdf5Handle dataset(
      H5Dcreate2(file, name, H5T_STD_U8LE, space.get(), H5P_DEFAULT, options.get(), H5P_DEFAULT),
      H5Dclose);
  if (!dataset.ok()) return Hdf5Error(path, absl::StrCat("cannot create ", name));
  return dataset;
}

absl::Status AppendChunk(const std::string& path, const Hdf5Handle& dataset, const char* name,
                         int64_t written, const char* chunk, int64_t chunk_bytes, int64_t size) {
  const hsize_t extent = written + size, offset = written;
  if (H5Dset_extent(dataset.get(), &extent) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot extend ", name));
  }
  // H5Dwrite_chunk bypasses HDF5's cache, which would copy the chunk.
  if (H5Dwrite_chunk(dataset.get(), H5P_DEFAULT, 0, &offset, chunk_bytes, chunk) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot write ", name));
  }
  return absl::OkStatus();
}

absl::StatusOr<Hdf5Handle> OpenShardFile(const std::string& path) {
  const Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  // HDF5's file locks are switched off: many network file systems do not support locks, and a
  // complete shard is never changed.
  if (!access.ok() || H5Pset_file_locking(access.get(), false, true) < 0) {
    return Hdf5Error(path, "cannot describe the file");
  }
  Hdf5Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose);
  if (!file.ok()) return Hdf5Error(path, "cannot be read as a whole HDF5 file");
  return file;
}

absl::StatusOr<OpenDataset> OpenChecked(const std::string& path, hid_t file, const char* name,
                                        hid_t type, const std::vector<hsize_t>& shape) {
  FT_ASSIGN_OR_RETURN(Described found, Describe(path, file, name, type));
  if (found.shape != shape) {
    return Bad(path, name, "is [", absl::StrJoin(found.shape, ", "), "]; its manifest says [",
               absl::StrJoin(shape, ", "), "]");
  }
  // Other layouts and filters are refused: with them a small file could make HDF5 allocate much
  // memory or read other files.
  const hid_t options = found.options.get();
  const int rank = static_cast<int>(shape.size());
  unsigned flags = 0, settings = 0;
  size_t setting_count = 0;
  std::array<hsize_t, H5S_MAX_RANK> chunk = {};
  if (H5Pget_layout(options) != H5D_CHUNKED || H5Pget_nfilters(options) != 1 ||
      H5Pget_filter2(options, 0, &flags, &setting_count, &settings, 0, nullptr, nullptr) !=
          H5Z_FILTER_FLETCHER32 ||
      H5Pget_chunk(options, rank, chunk.data()) != rank || chunk[0] < 1 || chunk[0] > shape[0] ||
      !std::equal(shape.begin() + 1, shape.end(), chunk.begin() + 1)) {
    return Bad(path, name,
               "is not stored as prepare_dataset stores it (chunks of whole images with a "
               "Fletcher-32 sum and no other filter)");
  }
  return OpenDataset{std::move(found.dataset), static_cast<int64_t>(chunk[0])};
}

absl::StatusOr<OpenDataset> OpenPlainBytes(const std::string& path, hid_t file, const char* name,
                                           int64_t* size) {
  FT_ASSIGN_OR_RETURN(Described found, Describe(path, file, name, H5T_STD_U8LE));
  const hid_t options = found.options.get();
  hsize_t chunk = 0;
  if (found.shape.size() != 1 || H5Pget_layout(options) != H5D_CHUNKED ||
      H5Pget_nfilters(options) != 0 || H5Pget_chunk(options, 1, &chunk) != 1 ||
      (chunk != kChunkBytes && (chunk != found.shape[0] || chunk > kChunkBytes)) ||
      found.shape[0] > INT64_MAX) {
    return Bad(
        path, name,
        "is not stored as prepare_dataset stores it (one dimension, plain chunks of at most ",
        kChunkBytes, " bytes)");
  }
  *size = static_cast<int64_t>(found.shape[0]);
  return OpenDataset{std::move(found.dataset), static_cast<int64_t>(chunk)};
}

absl::Status ReadAll(const std::string& path, const OpenDataset& open, const char* name,
                     const char* row, hid_t type, int64_t count, void* values) {
  for (int64_t first = 0; first < count; first += open.chunk_length) {
    const std::array<hsize_t, 2> offset = {static_cast<hsize_t>(first)};
    unsigned skipped_filters = 0;
    haddr_t at = HADDR_UNDEF;
    hsize_t size = 0;
    if (H5Dget_chunk_info_by_coord(open.dataset.get(), offset.data(), &skipped_filters, &at,
                                   &size) < 0 ||
        at == HADDR_UNDEF || skipped_filters != 0) {
      return Hdf5Error(path,
                       absl::StrCat("the chunk of ", row, " ", first, " is missing or broken"));
    }
  }
  if (H5Dread(open.dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
    return Hdf5Error(path, absl::StrCat("cannot read ", name, "; the file is damaged"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> ReadLabels(const std::string& path, const OpenDataset& open,
                                                int64_t count, int classes) {
  std::vector<int64_t> labels(count);
  FT_RETURN_IF_ERROR(
      ReadAll(path, open, "labels", "label", H5T_NATIVE_INT64, count, labels.data()));
  for (int64_t i = 0; i < count; ++i) {
    if (labels[i] >= 0 && labels[i] < classes) continue;
    return absl::DataLossError(absl::StrCat(path, ": image ", i, " has label ", labels[i],
                                            "; there are ", classes, " classes"));
  }
  return labels;
}

absl::StatusOr<std::vector<int64_t>> FindChunks(const std::string& path, const OpenDataset& open,
                                                const char* row, int64_t length,
                                                int64_t chunk_bytes, int64_t file_size) {
  std::vector<int64_t> places;
  places.reserve((length + open.chunk_length - 1) / open.chunk_length);
  for (int64_t first = 0; first < length; first += open.chunk_length) {
    const std::array<hsize_t, H5S_MAX_RANK> offset = {static_cast<hsize_t>(first)};
    unsigned skipped_filters = 0;
    haddr_t at = HADDR_UNDEF;
    hsize_t size = 0;
    if (H5Dget_chunk_info_by_coord(open.dataset.get(), offset.data(), &skipped_filters, &at,
                                   &size) < 0) {
      return Hdf5Error(path, absl::StrCat("cannot find the chunk of ", row, " ", first));
    }
    // For a chunk that was never written HDF5 returns zeros. Here it is an error.
    if (at == HADDR_UNDEF || skipped_filters != 0 || size != static_cast<hsize_t>(chunk_bytes) ||
        chunk_bytes > file_size || at > static_cast<haddr_t>(file_size - chunk_bytes)) {
      return absl::DataLossError(
          absl::StrCat(path, ": the chunk of ", row, " ", first, " is missing or broken"));
    }
    places.push_back(static_cast<int64_t>(at));
  }
  return places;
}

}  // namespace finetune
