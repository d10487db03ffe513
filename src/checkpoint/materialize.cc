#include "src/checkpoint/materialize.h"

#include <ATen/ops/empty.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

using Item = PickleGraph::Item;
using Kind = PickleGraph::Kind;
using Node = PickleGraph::Node;

constexpr int kMaxDepth = 100;
constexpr size_t kMaxKeyBytes = 4096;
constexpr size_t kMaxPathBytes = 1024;
constexpr size_t kMaxDimensions = 64;
// A tensor with a stride of 0 repeats elements of its storage and may be larger than the storage.
// Then it may have at most this size.
constexpr int64_t kMaxExpandedBytes = int64_t{1} << 20;

struct TypeName {
  absl::string_view name;
  c10::ScalarType type;
};

constexpr TypeName kStorageClasses[] = {
    {"torch.FloatStorage", c10::ScalarType::Float},
    {"torch.DoubleStorage", c10::ScalarType::Double},
    {"torch.HalfStorage", c10::ScalarType::Half},
    {"torch.BFloat16Storage", c10::ScalarType::BFloat16},
    {"torch.LongStorage", c10::ScalarType::Long},
    {"torch.IntStorage", c10::ScalarType::Int},
    {"torch.ShortStorage", c10::ScalarType::Short},
    {"torch.CharStorage", c10::ScalarType::Char},
    {"torch.ByteStorage", c10::ScalarType::Byte},
    {"torch.BoolStorage", c10::ScalarType::Bool},
    {"torch.ComplexFloatStorage", c10::ScalarType::ComplexFloat},
    {"torch.ComplexDoubleStorage", c10::ScalarType::ComplexDouble},
    // The storage has only bytes. The type is given with the tensor.
    {"torch.storage.UntypedStorage", c10::ScalarType::Byte},
};

// Types without a storage class. torch.save writes them as an argument of _rebuild_tensor_v3.
constexpr TypeName kTypes[] = {
    {"torch.uint16", c10::ScalarType::UInt16},
    {"torch.uint32", c10::ScalarType::UInt32},
    {"torch.uint64", c10::ScalarType::UInt64},
    {"torch.float8_e4m3fn", c10::ScalarType::Float8_e4m3fn},
    {"torch.float8_e5m2", c10::ScalarType::Float8_e5m2},
};

template <size_t N>
std::optional<c10::ScalarType> Lookup(const TypeName (&table)[N], absl::string_view name) {
  const auto* found =
      std::find_if(std::begin(table), std::end(table),
                   [&](const TypeName& candidate) { return candidate.name == name; });
  if (found == std::end(table)) return std::nullopt;
  return found->type;
}

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Reads a tensor's size or stride: a tuple of at most kMaxDimensions integers of at least 0.
absl::StatusOr<std::vector<int64_t>> Sizes(const PickleGraph& graph, const Item& item) {
  const Node* list = graph.Get(item, Kind::kList);
  if (list == nullptr || list->items.size() > kMaxDimensions) {
    return Bad("the tensor's size or stride is not a short tuple");
  }
  std::vector<int64_t> sizes;
  for (const Item& one : list->items) {
    const int64_t* n = std::get_if<int64_t>(&one);
    if (n == nullptr || *n < 0) {
      return Bad("the tensor's size or stride is negative or not an integer");
    }
    sizes.push_back(*n);
  }
  return sizes;
}

// end: one past the last element of the storage that a tensor uses. numel: the tensor's number of
// elements.
struct Extent {
  int64_t end;
  int64_t numel;
};

absl::StatusOr<Extent> Reach(int64_t offset, const std::vector<int64_t>& sizes,
                             const std::vector<int64_t>& strides) {
  Extent extent = {offset, 1};
  if (sizes.size() != strides.size()) {
    return Bad("the tensor has more sizes than strides, or fewer");
  }
  const bool empty = std::find(sizes.begin(), sizes.end(), 0) != sizes.end();
  for (size_t i = 0; i < sizes.size(); ++i) {
    int64_t last;
    // A size of 0 counts as 1 here, so that an empty tensor whose other sizes overflow is refused
    // too: LibTorch multiplies them.
    if (__builtin_mul_overflow(extent.numel, std::max<int64_t>(sizes[i], 1), &extent.numel) ||
        __builtin_mul_overflow(std::max<int64_t>(sizes[i] - 1, 0), strides[i], &last) ||
        __builtin_add_overflow(extent.end, last, &extent.end)) {
      return Bad("the tensor's size overflows");
    }
  }
  if (empty) return Extent{offset, 0};
  if (__builtin_add_overflow(extent.end, 1, &extent.end)) {
    return Bad("the tensor's size overflows");
  }
  return extent;
}

}  // namespace

absl::StatusOr<StorageRecord> ParseStorage(const PickleGraph& graph, const Node& storage) {
  const auto text = [&](const Item& item, Kind kind) {
    const Node* node = graph.Get(item, kind);
    return node == nullptr ? absl::string_view() : node->text;
  };
  const auto count = [](const Item& item) {
    const int64_t* n = std::get_if<int64_t>(&item);
    return n == nullptr ? -1 : *n;
  };
  const std::vector<Item>& items = storage.items;
  const absl::string_view class_name = text(items[0], Kind::kGlobal);
  const std::optional<c10::ScalarType> dtype = Lookup(kStorageClasses, class_name);
  if (!dtype) {
    return Bad(absl::StrCat("the storage class \"", Printable(class_name), "\" is not supported"));
  }
  StorageRecord record = {text(items[1], Kind::kString), *dtype, count(items[3]), 0, 0, 0};
  if (record.key.empty() || record.key.size() > kMaxKeyBytes) {
    return Bad("a storage has no usable key");
  }
  const uint64_t item_size = c10::elementSize(record.dtype);
  if (record.numel < 0 || __builtin_mul_overflow(item_size, record.numel, &record.bytes)) {
    return Bad(absl::StrCat("storage \"", Printable(record.key), "\" has no usable size"));
  }
  record.view_numel = record.numel;
  if (items.size() > 4 && !std::holds_alternative<std::monostate>(items[4])) {
    // A view of the storage, as PyTorch before 0.4 wrote it: (key of the view, offset, number of
    // elements).
    const Node* view = graph.Get(items[4], Kind::kList);
    if (view == nullptr || view->items.size() != 3) {
      return Bad("a storage's view is not a triple");
    }
    record.view_offset = count(view->items[1]);
    record.view_numel = count(view->items[2]);
    if (record.view_offset < 0 || record.view_numel < 0 || record.view_offset > record.numel ||
        record.view_numel > record.numel - record.view_offset) {
      return Bad("a storage's view is larger than the storage");
    }
  }
  return record;
}

absl::StatusOr<c10::Storage> AllocateStorage(uint64_t bytes) {
  try {
    c10::Allocator* allocator = c10::GetCPUAllocator();
    return c10::Storage(c10::Storage::use_byte_size_t(), bytes, allocator->allocate(bytes),
                        allocator);
  } catch (const std::exception&) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for a storage of ", bytes, " bytes"));
  }
}

bool IsBools(const void* bytes, uint64_t n) {
  const auto* p = static_cast<const unsigned char*>(bytes);
  return std::all_of(p, p + n, [](unsigned char b) { return b <= 1; });
}

absl::StatusOr<Value> Materializer::ToValue(const Item& item, const std::string& path) {
  path_ = path;
  absl::StatusOr<Value> value = Convert(item, 0);
  if (value.ok() || path_.empty()) return value;
  // The middle of a long path is left out.
  const size_t end = kMaxPathBytes / 2;
  if (path_.size() > kMaxPathBytes) path_.replace(end, path_.size() - 2 * end, "...");
  return Annotate(value.status(), path_);
}

absl::StatusOr<Value> Materializer::Convert(const Item& item, int depth) {
  if (const bool* v = std::get_if<bool>(&item)) return Value(*v);
  if (const int64_t* v = std::get_if<int64_t>(&item)) return Value(*v);
  if (const double* v = std::get_if<double>(&item)) return Value(*v);
  const PickleGraph::Ref* ref = std::get_if<PickleGraph::Ref>(&item);
  if (ref == nullptr) return Value();
  if (depth > kMaxDepth) return Bad("it is nested too deeply");

  const auto [found, is_new] = values_.try_emplace(ref->node);
  if (!is_new) {
    if (!found->second.has_value()) return Bad("it contains itself");
    return *found->second;
  }
  FT_ASSIGN_OR_RETURN(Value value, ConvertNode(graph_.nodes()[ref->node], depth));
  values_[ref->node] = value;
  return value;
}

absl::StatusOr<Value> Materializer::ConvertNode(const Node& node, int depth) {
  switch (node.kind) {
    case Kind::kString:
      return Value(node.text);
    case Kind::kBytes:
      return Value(Value::Bytes{std::string(node.text)});
    case Kind::kLatin1: {
      if (node.text.size() > decoded_bytes_left_) return Bad("its bytes are repeated too often");
      decoded_bytes_left_ -= node.text.size();
      std::optional<std::string> bytes = DecodeLatin1(node.text);
      if (!bytes) return Bad("its bytes are not in Latin-1");
      return Value(Value::Bytes{*std::move(bytes)});
    }
    case Kind::kBigInt:
      return Value(Value::Opaque{"int beyond 64 bits"});
    case Kind::kGlobal:
    case Kind::kNdarray:
    case Kind::kOpaque:
      return Value(Value::Opaque{std::string(node.text)});
    case Kind::kDtype:
      return Value(Value::Opaque{"numpy.dtype"});
    case Kind::kStorage:
      return Value(Value::Opaque{"torch.Storage"});
    case Kind::kList: {
      Value::List list;
      list.reserve(node.items.size());
      const size_t path_size = path_.size();
      for (size_t i = 0; i < node.items.size(); ++i) {
        absl::StrAppend(&path_, path_.empty() ? "" : ".", i);
        FT_ASSIGN_OR_RETURN(Value one, Convert(node.items[i], depth + 1));
        path_.resize(path_size);
        list.push_back(std::move(one));
      }
      return Value(std::move(list));
    }
    case Kind::kDict:
      return ConvertDict(node, depth);
    case Kind::kTensor:
      return ConvertTensor(node);
  }
  return Bad("unknown node");
}

absl::StatusOr<Value> Materializer::ConvertDict(const Node& node, int depth) {
  Value::Dict dict;
  absl::flat_hash_map<absl::string_view, size_t> strings;
  absl::flat_hash_map<int64_t, size_t> integers;
  const size_t path_size = path_.size();
  for (size_t i = 0; i < node.items.size(); i += 2) {
    const Node* name = graph_.Get(node.items[i], Kind::kString);
    const int64_t* number = std::get_if<int64_t>(&node.items[i]);
    if (name != nullptr && name->text.size() > kMaxKeyBytes) return Bad("a key is too long");
    absl::StrAppend(&path_, path_.empty() ? "" : ".",
                    name != nullptr     ? Printable(name->text)
                    : number != nullptr ? absl::StrCat(*number)
                                        : "?");
    FT_ASSIGN_OR_RETURN(Value key, Convert(node.items[i], depth + 1));
    FT_ASSIGN_OR_RETURN(Value value, Convert(node.items[i + 1], depth + 1));
    path_.resize(path_size);
    const size_t next = dict.entries().size();
    size_t at = next;
    if (name != nullptr) at = strings.try_emplace(name->text, next).first->second;
    if (number != nullptr) at = integers.try_emplace(*number, next).first->second;
    if (at == next) {
      dict.Append(std::move(key), std::move(value));
    } else {
      dict.entries()[at].second = std::move(value);
    }
  }
  return Value(std::move(dict));
}

absl::StatusOr<c10::Storage> Materializer::Load(const StorageRecord& record) {
  auto found = storages_.find(record.key);
  if (found == storages_.end()) {
    FT_ASSIGN_OR_RETURN(c10::Storage storage, loader_(record));
    if (record.dtype == c10::ScalarType::Bool && !IsBools(storage.data(), storage.nbytes())) {
      return Bad("a bool is neither 0 nor 1");
    }
    found = storages_.emplace(record.key, std::move(storage)).first;
  }
  if (found->second.nbytes() != record.bytes) {
    return Bad(absl::StrCat("storage \"", Printable(record.key), "\" has ", found->second.nbytes(),
                            " bytes, expected ", record.bytes));
  }
  return found->second;
}

absl::StatusOr<Value> Materializer::ConvertTensor(const Node& node) {
  const Node* storage_node = graph_.Get(node.items[0], Kind::kStorage);
  const int64_t* offset = std::get_if<int64_t>(&node.items[1]);
  if (storage_node == nullptr) return Bad("the tensor has no storage");
  if (offset == nullptr || *offset < 0)
    return Bad("the tensor's offset is negative or not an integer");
  FT_ASSIGN_OR_RETURN(const StorageRecord record, ParseStorage(graph_, *storage_node));
  FT_ASSIGN_OR_RETURN(const std::vector<int64_t> sizes, Sizes(graph_, node.items[2]));
  FT_ASSIGN_OR_RETURN(const std::vector<int64_t> strides, Sizes(graph_, node.items[3]));
  FT_ASSIGN_OR_RETURN(const Extent extent, Reach(*offset, sizes, strides));

  c10::ScalarType dtype = record.dtype;
  if (node.items.size() > 4) {
    const Node* name = graph_.Get(node.items[4], Kind::kGlobal);
    const absl::string_view type_name = name == nullptr ? "" : name->text;
    const std::optional<c10::ScalarType> type = Lookup(kTypes, type_name);
    if (!type || record.view_offset != 0) {
      return Bad(absl::StrCat("the tensor's type \"", Printable(type_name), "\" is not supported"));
    }
    dtype = *type;
  }
  // The number of elements of the tensor's type in the storage, whose own type may differ (kTypes).
  const auto item_size = static_cast<int64_t>(c10::elementSize(dtype));
  const int64_t capacity =
      record.view_numel * static_cast<int64_t>(c10::elementSize(record.dtype)) / item_size;
  if (extent.end > capacity) {
    return Bad(absl::StrCat("the tensor reaches to element ", extent.end, " of storage \"",
                            Printable(record.key), "\", which has ", capacity));
  }
  if (extent.numel > capacity && extent.numel > kMaxExpandedBytes / item_size) {
    return Bad(
        absl::StrCat("the tensor has ", extent.numel, " elements, its storage only ", capacity));
  }
  FT_ASSIGN_OR_RETURN(const c10::Storage storage, Load(record));
  try {
    return Value(at::empty({0}, dtype).set_(storage, record.view_offset + *offset, sizes, strides));
  } catch (const std::exception& e) {
    return Bad(e.what());
  }
}

}  // namespace finetune
