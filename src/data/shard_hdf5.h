#ifndef FINETUNE_DATA_SHARD_HDF5_H_
#define FINETUNE_DATA_SHARD_HDF5_H_

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/data/hdf5_handle.h"

namespace finetune {

// The HDF5 functions that ShardWriter, ShardReader, EncodedShardWriter, EncodedShardReader and
// FeatureFile (src/predict) share. In this file "data set" means an HDF5 data set: an array in the
// file. In all functions `path` is the file's path and `name` the data set's name. The caller must
// hold an Hdf5Lock. Errors of all functions: ResourceExhausted if the disk is full, otherwise
// DataLoss that names the file.

// The size of a chunk (the unit in which HDF5 stores a data set) in bytes. With smaller chunks the
// file's index of chunks is larger. With larger chunks ShardReader's first read of an image is
// slower, because it reads the whole chunk to check its checksum.
inline constexpr int64_t kChunkBytes = 256 << 10;

// Creates an empty file in the format of HDF5 1.10, whose internal structures have checksums. The
// file records no times of creation. So the same images give the same bytes, and the file's SHA-256
// identifies its content.
absl::StatusOr<Hdf5Handle> CreateShardFile(const std::string& path);

// Creates a data set of elements of `type` in the open file `file`, in chunks of `chunk_length`
// rows. A row is one index of the first dimension. Each chunk has a Fletcher-32 checksum.
absl::StatusOr<Hdf5Handle> CreateDataset(const std::string& path, hid_t file, const char* name,
                                         hid_t type, const std::vector<hsize_t>& shape,
                                         hsize_t chunk_length);

// Writes `values` to the rows from `begin` on. `rows`: the shape of `values`; rows[0] is the number
// of rows. `type`: the type of `values` in memory.
absl::Status WriteRows(const std::string& path, const Hdf5Handle& dataset, const char* name,
                       hid_t type, int64_t begin, const std::vector<hsize_t>& rows,
                       const void* values);

// Creates an empty one-dimensional data set of bytes that can grow, in chunks of `chunk_bytes`
// without an HDF5 filter (neither checksum nor compression).
absl::StatusOr<Hdf5Handle> CreatePlainBytes(const std::string& path, hid_t file, const char* name,
                                            int64_t chunk_bytes);

// Appends a chunk to a data set that CreatePlainBytes() created. `written`: the number of bytes
// that the data set already has, a multiple of `chunk_bytes`. `chunk`: a buffer of `chunk_bytes`
// bytes, of which the first `size` are appended. Only for the last chunk of a data set may `size`
// be less than `chunk_bytes`.
absl::Status AppendChunk(const std::string& path, const Hdf5Handle& dataset, const char* name,
                         int64_t written, const char* chunk, int64_t chunk_bytes, int64_t size);

// Opens a shard's file for reading.
absl::StatusOr<Hdf5Handle> OpenShardFile(const std::string& path);

// An open data set.
struct OpenDataset {
  Hdf5Handle dataset;
  // The number of rows in a chunk.
  int64_t chunk_length = 0;
};

// Opens a data set and checks that it has this type and this shape, and that it is stored in the
// way of CreateDataset(): in chunks of whole rows with a Fletcher-32 checksum.
absl::StatusOr<OpenDataset> OpenChecked(const std::string& path, hid_t file, const char* name,
                                        hid_t type, const std::vector<hsize_t>& shape);

// Opens a data set of bytes and checks that it is stored in the way of CreatePlainBytes(): one
// dimension, chunks of at most kChunkBytes, no filter. Sets `size` to its number of bytes.
absl::StatusOr<OpenDataset> OpenPlainBytes(const std::string& path, hid_t file, const char* name,
                                           int64_t* size);

// Reads a whole data set that OpenChecked() opened into `values`: `count` rows, at most two
// dimensions. A chunk that was never written is an error; HDF5 by itself would return zeros. `row`:
// the word for a row in errors, such as "label". `type`: the type of `values` in memory.
absl::Status ReadAll(const std::string& path, const OpenDataset& open, const char* name,
                     const char* row, hid_t type, int64_t count, void* values);

// Reads the labels of a shard of `count` images and checks that each is in [0, classes).
absl::StatusOr<std::vector<int64_t>> ReadLabels(const std::string& path, const OpenDataset& open,
                                                int64_t count, int classes);

// Returns the file offset of each chunk of a data set of `length` rows. Checks that each chunk
// exists, occupies `chunk_bytes` bytes and lies within the file, which has `file_size` bytes.
// `row`: the word for a row in errors.
absl::StatusOr<std::vector<int64_t>> FindChunks(const std::string& path, const OpenDataset& open,
                                                const char* row, int64_t length,
                                                int64_t chunk_bytes, int64_t file_size);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_HDF5_H_
