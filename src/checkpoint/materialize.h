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
  // Names the bytes in the file.
  absl::string_view key;
  c10::ScalarType dtype;
  // Elements; those of a view start `view_offset` elements into the storage.
  int64_t numel;
  int64_t view_offset;
  int64_t view_numel;
  // numel in bytes.
  uint64_t bytes;
};

// Errors: InvalidArgument for a type that is not known (quantized types), a negative or absurd
// size.
absl::StatusOr<StorageRecord> ParseStorage(const PickleGraph& graph,
                                           const PickleGraph::Node& storage);

// Memory for a storage's bytes. Errors: ResourceExhausted.
absl::StatusOr<c10::Storage> AllocateStorage(uint64_t bytes);

// Whether each byte is 0 or 1. A bool of another value is undefined behaviour for all who read it.
bool IsBools(const void* bytes, uint64_t n);

// Gives the whole of a storage of the file; the size in `record` is what the pickle claims, not yet
// compared with the file.
using StorageLoader = std::function<absl::StatusOr<c10::Storage>(const StorageRecord& record)>;

// Turns nodes of a pickle into values, tensors and all. Each storage is loaded once, when the first
// tensor asks for it, and shared by the tensors that share it in the file.
//
// Every size, stride and offset is held against its storage. Nesting beyond 100 levels, cycles and
// tensors much larger than their storages are refused. Errors name the place in the file, as
// "optimizer.state.0.momentum_buffer".
class Materializer {
 public:
  // `graph` must outlive this.
  Materializer(const PickleGraph& graph, StorageLoader loader)
      : graph_(graph), loader_(std::move(loader)), decoded_bytes_left_(graph.size()) {}

  // `path` is the item's place, for errors.
  absl::StatusOr<Value> ToValue(const PickleGraph::Item& item, const std::string& path);

 private:
  absl::StatusOr<Value> Convert(const PickleGraph::Item& item, int depth);
  absl::StatusOr<Value> ConvertNode(const PickleGraph::Node& node, int depth);
  absl::StatusOr<Value> ConvertDict(const PickleGraph::Node& node, int depth);
  absl::StatusOr<Value> ConvertTensor(const PickleGraph::Node& node);
  absl::StatusOr<c10::Storage> Load(const StorageRecord& record);

  const PickleGraph& graph_;
  const StorageLoader loader_;
  // A node that is being converted has no value yet.
  absl::flat_hash_map<uint32_t, std::optional<Value>> values_;
  absl::flat_hash_map<absl::string_view, c10::Storage> storages_;
  // Where the walk is, for errors; one string, because a path copied for each item could cost the
  // square of the file's size.
  std::string path_;
  // A string of the pickle may be decoded to bytes by many calls; all results together are held to
  // this.
  size_t decoded_bytes_left_;
};

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_MATERIALIZE_H_
