#ifndef FINETUNE_CHECKPOINT_MATERIALIZE_H_
#define FINETUNE_CHECKPOINT_MATERIALIZE_H_

#include <c10/core/ScalarType.h>
#include <c10/core/Storage.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/checkpoint/pickle.h"
#include "src/checkpoint/value.h"

namespace finetune {

// A pickle's record of a storage.
struct StorageRecord {
  // The name of its bytes in the file.
  absl::string_view key;
  c10::ScalarType dtype;
  // Its elements. A view starts `view_offset` elements into the storage.
  int64_t numel;
  int64_t view_offset;
  int64_t view_numel;
  // numel in bytes.
  uint64_t bytes;
};

// Reads a record of a storage. Errors: InvalidArgument for an unknown type (quantized types) and
// for a negative or absurd size.
absl::StatusOr<StorageRecord> ParseStorage(const PickleGraph& graph,
                                           const PickleGraph::Node& storage);

// Allocates memory for a storage's bytes. Errors: ResourceExhausted.
absl::StatusOr<c10::Storage> AllocateStorage(uint64_t bytes);

// Returns whether each byte is 0 or 1. Reading a bool of another value is undefined behaviour.
bool IsBools(const void* bytes, uint64_t n);

// Returns a whole storage of the file. The size in `record` is the pickle's claim, which has not
// been compared with the file.
using StorageLoader = std::function<absl::StatusOr<c10::Storage>(const StorageRecord& record)>;

// Turns nodes of a pickle into values and tensors. Each storage is loaded once, when the first
// tensor needs it. Tensors that share it in the file share it here.
//
// Every size, stride and offset is compared with the storage. Nesting beyond 100 levels, cycles and
// tensors much larger than their storages are refused. Errors name the place in the file, as
// "optimizer.state.0.momentum_buffer".
class Materializer {
 public:
  // `graph` must outlive this object.
  Materializer(const PickleGraph& graph, StorageLoader loader)
      : graph_(graph), loader_(std::move(loader)), decoded_bytes_left_(graph.size()) {}

  // Converts an item. `path`: its place in the file, for errors.
  absl::StatusOr<Value> ToValue(const PickleGraph::Item& item, const std::string& path);

 private:
  absl::StatusOr<Value> Convert(const PickleGraph::Item& item, int depth);
  absl::StatusOr<Value> ConvertNode(const PickleGraph::Node& node, int depth);
  absl::StatusOr<Value> ConvertDict(const PickleGraph::Node& node, int depth);
  absl::StatusOr<Value> ConvertTensor(const PickleGraph::Node& node);
  absl::StatusOr<c10::Storage> Load(const StorageRecord& record);

  const PickleGraph& graph_;
  const StorageLoader loader_;
  // By node. An entry without a value is being converted; meeting it again means a cycle.
  absl::flat_hash_map<uint32_t, std::optional<Value>> values_;
  absl::flat_hash_map<absl::string_view, c10::Storage> storages_;
  // The current place, for errors. One string is changed in place, because a copy of the path for
  // each item could cost the square of the file's size.
  std::string path_;
  // The bytes that may still be decoded. Many calls may decode one string of the pickle, so this
  // bounds all results together.
  size_t decoded_bytes_left_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_MATERIALIZE_H_
