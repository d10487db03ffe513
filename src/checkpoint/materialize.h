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

// A storage (the memory of one or more tensors) as a pickle describes it.
struct StorageRecord {
  // The name by which the file calls the storage.
  absl::string_view key;
  c10::ScalarType dtype;
  // numel: the storage's number of elements. Tensors lie in the `view_numel` elements from element
  // `view_offset` on. These are all elements, unless a file of PyTorch before 0.4 describes a view
  // of the storage.
  int64_t numel;
  int64_t view_offset;
  int64_t view_numel;
  // The size of the whole storage in bytes.
  uint64_t bytes;
};

// Reads what the node `storage`, of kind kStorage, says. Errors: InvalidArgument for an unsupported
// element type (such as a quantized one) and for sizes that are negative or overflow.
absl::StatusOr<StorageRecord> ParseStorage(const PickleGraph& graph,
                                           const PickleGraph::Node& storage);

// Allocates a storage of `bytes` bytes on the CPU, uninitialized. Errors: ResourceExhausted.
absl::StatusOr<c10::Storage> AllocateStorage(uint64_t bytes);

// Returns whether each of the `n` bytes is 0 or 1. Other bytes must not be read as bool, which is
// undefined behaviour.
bool IsBools(const void* bytes, uint64_t n);

// Reads the bytes of a storage from the file. `record.bytes` is only what the pickle claims, so the
// function must compare it with the file before it allocates memory.
using StorageLoader = std::function<absl::StatusOr<c10::Storage>(const StorageRecord& record)>;

// Converts the items of a pickle to values and tensors. Each storage is read once, when the first
// tensor needs it. Tensors that share a storage in the file share it in memory too.
//
// The pickle is hostile input. It is an error if a tensor's sizes, strides and offset reach outside
// its storage, if items are nested more than 100 levels deep or contain themselves, or if a tensor
// is much larger than its storage. Errors name the place in the file, such as
// "optimizer.state.0.momentum_buffer".
class Materializer {
 public:
  // `graph` must outlive this object.
  Materializer(const PickleGraph& graph, StorageLoader loader)
      : graph_(graph), loader_(std::move(loader)), decoded_bytes_left_(graph.size()) {}

  // Converts an item and all items in it. `path`: the item's place in the file, for errors.
  absl::StatusOr<Value> ToValue(const PickleGraph::Item& item, const std::string& path);

 private:
  absl::StatusOr<Value> Convert(const PickleGraph::Item& item, int depth);
  absl::StatusOr<Value> ConvertNode(const PickleGraph::Node& node, int depth);
  absl::StatusOr<Value> ConvertDict(const PickleGraph::Node& node, int depth);
  absl::StatusOr<Value> ConvertTensor(const PickleGraph::Node& node);
  absl::StatusOr<c10::Storage> Load(const StorageRecord& record);

  const PickleGraph& graph_;
  const StorageLoader loader_;
  // The value of each node that was converted. An entry without a value belongs to a node that is
  // being converted; if that node is met again, the graph has a cycle.
  absl::flat_hash_map<uint32_t, std::optional<Value>> values_;
  absl::flat_hash_map<absl::string_view, c10::Storage> storages_;
  // The place of the item that is being converted, for errors. It is one string that grows and
  // shrinks, because a new string for each item could take time quadratic in the file's size.
  std::string path_;
  // How many more bytes of Latin-1 text may be decoded. Many nodes of a pickle may point to the
  // same text, so this bounds the memory of all decoded copies.
  size_t decoded_bytes_left_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_MATERIALIZE_H_
