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

// A storage as a pickle describes it.
struct StorageRecord {
  // The name of the storage's bytes in the file.
  absl::string_view key;
  c10::ScalarType dtype;
  // The storage's number of elements. The tensors use `view_numel` elements from element
  // `view_offset` on, which are all elements unless the pickle describes a view (PyTorch before
  // 0.4).
  int64_t numel;
  int64_t view_offset;
  int64_t view_numel;
  // The size of `numel` elements in bytes.
  uint64_t bytes;
};

// Reads a storage's record. Errors: InvalidArgument for an unknown type (quantized types) and for a
// negative or too large size.
absl::StatusOr<StorageRecord> ParseStorage(const PickleGraph& graph,
                                           const PickleGraph::Node& storage);

// Allocates memory for a storage's bytes. Errors: ResourceExhausted.
absl::StatusOr<c10::Storage> AllocateStorage(uint64_t bytes);

// Returns whether each byte is 0 or 1. Reading any other byte as a bool is undefined behaviour.
bool IsBools(const void* bytes, uint64_t n);

// A function that reads a whole storage of the file. `record.bytes` is only what the pickle claims,
// so the function must compare it with the file.
using StorageLoader = std::function<absl::StatusOr<c10::Storage>(const StorageRecord& record)>;

// Converts nodes of a pickle to values and tensors. Each storage is loaded once, when the first
// tensor needs it. Tensors that share a storage in the file share it in memory.
//
// Every size, stride and offset is checked against the storage's size. Nesting beyond 100 levels,
// cycles, and tensors much larger than their storages are errors. Errors name the place in the
// file, such as "optimizer.state.0.momentum_buffer".
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
  // The values by node. An entry without a value is being converted; if it occurs again, the graph
  // has a cycle.
  absl::flat_hash_map<uint32_t, std::optional<Value>> values_;
  absl::flat_hash_map<absl::string_view, c10::Storage> storages_;
  // The current place, for errors. One string is changed in place, because a copy of the path for
  // each item could cost the square of the file's size.
  std::string path_;
  // The number of bytes that may still be decoded from Latin-1. A pickle may refer to one string
  // many times, so this bounds the memory of all decoded strings together.
  size_t decoded_bytes_left_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_MATERIALIZE_H_
