#ifndef FINETUNE_DATA_SHARD_HDF5_H_
#define FINETUNE_DATA_SHARD_HDF5_H_

#include <hdf5.h>

#include <cstdint>
#include <string>
#include <vector>

#include "src/base/status_macros.h"
#include "src/data/hdf5_handle.h"

namespace finetune {

// The HDF5 functions that ShardWriter, ShardReader, EncodedShardWriter and EncodedShardReader
// share. The caller must hold an Hdf5Lock. Errors: ResourceExhausted where the disk is full,
// otherwise DataLoss that names the file.

// The size of a chunk in bytes. Smaller chunks make the index of chunks larger. Larger chunks make
// ShardReader's first read of an image slower, because it checks the whole chunk.
inline constexpr int64_t kChunkBytes = 256 << 10;

// Makes an empty file in the format of HDF5 1.10, whose internal structures carry checksums. The
// file records no times, so that the same images give the same bytes: the file's checksum
// identifies its content.
absl::StatusOr<Hdf5Handle> CreateShardFile(const std::string& path);

// Creates a data set in the file, in chunks of `chunk_length` along the first dimension. Each chunk
// has a Fletcher-32 checksum.
absl::StatusOr<Hdf5Handle> CreateDataset(const std::string& path, hid_t file, const char* name,
                                         hid_t type, const std::vector<hsize_t>& shape,
                                         hsize_t chunk_length);

// Writes rows [begin, begin + rows[0]) along the first dimension. `rows`: the shape of `values`.
// `type`: the type of the values in memory.
absl::Status WriteRows(const std::string& path, const Hdf5Handle& dataset, const char* name,
                       hid_t type, int64_t begin, const std::vector<hsize_t>& rows,
                       const void* values);

// Creates an empty one-dimensional data set of bytes that can grow, in chunks of `chunk_bytes`
// without a filter.
absl::StatusOr<Hdf5Handle> CreatePlainBytes(const std::string& path, hid_t file, const char* name,
                                            int64_t chunk_bytes);

// Appends a chunk to a data set of CreatePlainBytes(). `written`: the bytes that the data set has,
// a multiple of `chunk_bytes`. `chunk`: `chunk_bytes` bytes, of which the first `size` belong to
// the data set. Only the last chunk may have `size` < `chunk_bytes`.
absl::Status AppendChunk(const std::string& path, const Hdf5Handle& dataset, const char* name,
                         int64_t written, const char* chunk, int64_t chunk_bytes, int64_t size);

absl::StatusOr<Hdf5Handle> OpenShardFile(const std::string& path);

// An open data set of a shard.
struct OpenDataset {
  Hdf5Handle dataset;
  // The length of a chunk along the first dimension.
  int64_t chunk_length = 0;
};

// Opens a data set and checks that it has this type and shape and is stored as CreateDataset()
// stores it.
absl::StatusOr<OpenDataset> OpenChecked(const std::string& path, hid_t file, const char* name,
                                        hid_t type, const std::vector<hsize_t>& shape);

// Opens a data set of bytes and checks that it is stored as CreatePlainBytes() stores it. `size`:
// set to its number of bytes.
absl::StatusOr<OpenDataset> OpenPlainBytes(const std::string& path, hid_t file, const char* name,
                                           int64_t* size);

// Reads all of a data set that OpenChecked() opened: `count` rows, at most two dimensions. HDF5
// reads a chunk that was never written as zeros. Here it is an error. `row`: what the error calls a
// row. `type`: the type of `values` in memory.
absl::Status ReadAll(const std::string& path, const OpenDataset& open, const char* name,
                     const char* row, hid_t type, int64_t count, void* values);

// Reads the labels of a shard of `count` images and checks that each is below `classes`.
absl::StatusOr<std::vector<int64_t>> ReadLabels(const std::string& path, const OpenDataset& open,
                                                int64_t count, int classes);

// Returns the file offset of each chunk of a data set of `length` rows. `row`: what an error calls
// a row. Each chunk must have `chunk_bytes` bytes in the file, which has `file_size` bytes.
absl::StatusOr<std::vector<int64_t>> FindChunks(const std::string& path, const OpenDataset& open,
                                                const char* row, int64_t length,
                                                int64_t chunk_bytes, int64_t file_size);

}  // namespace finetune

#endif  // FINETUNE_DATA_SHARD_HDF5_H_
