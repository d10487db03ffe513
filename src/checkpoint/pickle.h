#ifndef FINETUNE_CHECKPOINT_PICKLE_H_
#define FINETUNE_CHECKPOINT_PICKLE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/node_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace finetune {

// The objects that a Python pickle describes, as plain data. Parsing a pickle imports nothing and
// runs nothing of Python. It supports the binary protocols 2 to 5, which are all that torch.save
// writes. A pickle may contain calls of functions and classes. Parse() knows the results of the few
// calls that tensors and plain data need. Any other call becomes an opaque node, which has only the
// name of the called function or class.
//
// A pickle is hostile input. Parsing takes time and memory linear in the pickle's size, and bounded
// by Limits. In the graph a node may be contained in several others and even in itself, so code
// that walks the graph must bound its own work (see materialize.h).
class PickleGraph {
 public:
  struct Limits {
    // opcodes: the largest number of opcodes, and of items in all nodes together. nodes: the
    // largest number of nodes. A pickle that exceeds them is refused.
    size_t opcodes = size_t{1} << 24;
    size_t nodes = size_t{1} << 22;
    // The program that usually writes such pickles, for errors.
    absl::string_view writer = "torch.save";
  };

  struct Ref {
    uint32_t node;
  };
  // A Python object: None, a bool, an integer, a float, or a reference to a node.
  using Item = std::variant<std::monostate, bool, int64_t, double, Ref>;

  // The kinds of nodes. The comments say what Node::text and Node::items contain; a field that is
  // not mentioned is empty.
  enum class Kind : uint8_t {
    kString,   // text
    kBytes,    // text
    kLatin1,   // text: bytes, written as Latin-1 characters in UTF-8 (protocol 2 does so)
    kBigInt,   // text: an integer beyond 64 bits in little-endian two's complement
    kList,     // items; also a tuple or set
    kDict,     // items: key, value, key, value, ...; of equal keys the last counts
    kGlobal,   // text: "module.name"
    kOpaque,   // text: the name of the object's class, or of the function that makes it
    kDtype,    // text: NumPy's code of a little-endian type, such as "f8"
    kStorage,  // items: class, key, location, number of elements; in old files also a view or None
    kNdarray,  // a NumPy array; text: its constructor; items: shape, dtype, whether it is in
               // Fortran order, its bytes; no items if its state was not set
    kTensor,   // items: storage, offset, size, stride; from _rebuild_tensor_v3 also the type
  };
  struct Node {
    Kind kind;
    absl::string_view text;
    std::vector<Item> items;
  };

  PickleGraph(PickleGraph&&) = default;
  PickleGraph& operator=(PickleGraph&&) = default;

  // Parses the pickle at the beginning of `bytes`; more bytes may follow it. `bytes` must outlive
  // the graph, because the nodes' texts point into them. Errors: OutOfRange if the bytes end before
  // the pickle does; InvalidArgument, with the position, for all other faults.
  static absl::StatusOr<PickleGraph> Parse(absl::string_view bytes, const Limits& limits);
  static absl::StatusOr<PickleGraph> Parse(absl::string_view bytes) {
    return Parse(bytes, Limits());
  }

  const Item& root() const { return root_; }
  // Returns the length of the pickle in bytes.
  size_t size() const { return size_; }
  const std::deque<Node>& nodes() const { return nodes_; }

  // Returns the node that an item refers to, or null if the item is not a reference.
  const Node* Get(const Item& item) const {
    const Ref* ref = std::get_if<Ref>(&item);
    return ref == nullptr ? nullptr : &nodes_[ref->node];
  }
  // Returns the node that an item refers to, or null if the item is not a reference or the node is
  // of another kind than `kind`.
  const Node* Get(const Item& item, Kind kind) const {
    const Node* node = Get(item);
    return node != nullptr && node->kind == kind ? node : nullptr;
  }
  // Returns the value for a string key in the dict that `dict` refers to. Returns null if the dict
  // lacks the key or the item is not a dict.
  const Item* Find(const Item& dict, absl::string_view key) const;

 private:
  friend class PickleMachine;
  PickleGraph() = default;

  // A deque, because it does not move its nodes when it grows: the parser adds nodes while it still
  // reads others.
  std::deque<Node> nodes_;
  // The names of globals. The nodes' texts point to them.
  absl::node_hash_set<std::string> names_;
  Item root_;
  size_t size_ = 0;
};

// Returns the value for a key in the dict that `dict` refers to, or null if the dict lacks the key.
// As Find(), but the key may be text or bytes in the pickle: Python 2 pickled both in the same way,
// and Python 3 can be told to load Python 2's strings as bytes. `key` must be ASCII.
const PickleGraph::Item* FindTextOrBytes(const PickleGraph& graph, const PickleGraph::Item& dict,
                                         absl::string_view key);

// An array of numpy.uint8 in C order.
struct ByteArray {
  std::vector<int64_t> shape;
  std::string bytes;
};

// Returns the array that an item refers to. Errors: InvalidArgument if the item is not an array of
// numpy.uint8 in C order, or if its number of bytes does not match its shape.
absl::StatusOr<ByteArray> GetByteArray(const PickleGraph& graph, const PickleGraph::Item& item);

// Returns a byte for each character of a UTF-8 text: its number, which must be below 256. Returns
// nullopt for a text with other characters.
std::optional<std::string> DecodeLatin1(absl::string_view text);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_PICKLE_H_
