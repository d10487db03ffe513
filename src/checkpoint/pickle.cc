// Problem: a .pth contains a Python pickle, and a pickle is a program that may call any Python
// function when it is loaded. This file gets the data out of a pickle without running any Python
// function.
//
// Method: a pickle is a sequence of opcodes for a stack machine (CPython's Lib/pickle.py;
// Lib/pickletools.py documents the opcodes). PickleMachine executes the opcodes of protocols 2 to 5
// that torch.save uses. Instead of Python objects it makes the nodes of a PickleGraph. Three kinds
// of opcodes differ from Python's. GLOBAL and STACK_GLOBAL import a module in Python; here they
// make a node that holds a name. REDUCE and NEWOBJ call a function or class in Python; here they
// compare its name with those that tensors and plain data need (Call() and CallTorch() below are
// the whole list), and make an opaque node for any other name. BUILD sets an object's attributes in
// Python; here it sets the state of NumPy's types and arrays and drops the attributes of all other
// objects.
//
// Memory: the nodes are in a deque, are never moved or freed while the machine runs, and are
// referred to by their index. Texts are not copied: they point into the pickle, or for names of
// globals into the graph. An opcode can store an item in the memo under an index, and BINGET pushes
// it again. So a node may be contained in several nodes, and the graph may have cycles.
//
// Invariants: every read of the pickle's bytes goes through Take() or Line(), which do not read
// beyond the end. The numbers of opcodes, of nodes and of the items of all nodes together are
// counted and bounded by PickleGraph::Limits. No opcode pops an item below the last mark of the
// stack.
//
// Reference: Python's pickle module and torch/_weights_only_unpickler.py. pickle_test.cc tests
// damaged and hostile pickles. reader_test.cc reads files that Python wrote.

#include "src/checkpoint/pickle.h"

#include <bit>
#include <cstddef>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

using Item = PickleGraph::Item;
using Kind = PickleGraph::Kind;
using Node = PickleGraph::Node;
using Ref = PickleGraph::Ref;

// The longest name of a module or class in bytes. Real names are shorter.
constexpr size_t kMaxNameBytes = 256;

template <typename T>
T LittleEndian(const char* bytes) {
  static_assert(std::endian::native == std::endian::little);
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// Returns the value of a NumPy scalar. `code`: NumPy's code of its type, such as "f8". `bytes`: its
// little-endian bytes. Returns nullopt for an unknown type or a wrong number of bytes.
std::optional<Item> NumpyScalar(absl::string_view code, absl::string_view bytes) {
  const auto is = [&](absl::string_view c, size_t size) {
    return code == c && bytes.size() == size;
  };
  const char* p = bytes.data();
  if (is("f8", 8)) return LittleEndian<double>(p);
  if (is("f4", 4)) return static_cast<double>(LittleEndian<float>(p));
  if (is("i8", 8)) return LittleEndian<int64_t>(p);
  if (is("i4", 4)) return int64_t{LittleEndian<int32_t>(p)};
  if (is("i2", 2)) return int64_t{LittleEndian<int16_t>(p)};
  if (is("i1", 1)) return int64_t{LittleEndian<int8_t>(p)};
  if (is("u4", 4)) return int64_t{LittleEndian<uint32_t>(p)};
  if (is("u2", 2)) return int64_t{LittleEndian<uint16_t>(p)};
  if (is("u1", 1)) return int64_t{LittleEndian<uint8_t>(p)};
  if (is("b1", 1)) return *p != 0;
  return std::nullopt;
}

}  // namespace

std::optional<std::string> DecodeLatin1(absl::string_view text) {
  std::string bytes;
  bytes.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const unsigned char c = text[i];
    if (c < 0x80) {
      bytes.push_back(static_cast<char>(c));
    } else if ((c == 0xC2 || c == 0xC3) && i + 1 < text.size() && (text[i + 1] & 0xC0) == 0x80) {
      bytes.push_back(static_cast<char>((c << 6) | (text[++i] & 0x3F)));
    } else {
      return std::nullopt;
    }
  }
  return bytes;
}

// Executes the opcodes of one pickle. Names in capitals are the opcodes' names in CPython's
// pickletools, which documents their arguments and their effect on the stack.
class PickleMachine {
 public:
  PickleMachine(absl::string_view bytes, const PickleGraph::Limits& limits)
      : bytes_(bytes), limits_(limits) {}

  absl::StatusOr<PickleGraph> Run() {
    for (size_t opcodes = 0;; ++opcodes) {
      if (opcodes == limits_.opcodes) return Bad("it has more opcodes than any checkpoint needs");
      opcode_at_ = at_;
      FT_ASSIGN_OR_RETURN(const uint8_t opcode, Number<uint8_t>());
      if (opcode == '.') {  // STOP
        FT_ASSIGN_OR_RETURN(graph_.root_, Pop());
        graph_.size_ = at_;
        return std::move(graph_);
      }
      FT_RETURN_IF_ERROR(Execute(opcode));
      if (graph_.nodes_.size() > limits_.nodes || items_ > limits_.opcodes) {
        return Bad("it has more objects than any checkpoint needs");
      }
    }
  }

 private:
  absl::Status Bad(absl::string_view what) const {
    return absl::InvalidArgumentError(absl::StrCat("its pickle is not one of ", limits_.writer,
                                                   ": ", what, ", at byte ", opcode_at_));
  }

  absl::StatusOr<absl::string_view> Take(uint64_t n) {
    if (n > bytes_.size() - at_) {
      return absl::OutOfRangeError(absl::StrCat("its pickle is cut off at byte ", bytes_.size()));
    }
    const absl::string_view taken = bytes_.substr(at_, n);
    at_ += n;
    return taken;
  }

  template <typename T>
  absl::StatusOr<T> Number() {
    FT_ASSIGN_OR_RETURN(const absl::string_view raw, Take(sizeof(T)));
    return LittleEndian<T>(raw.data());
  }

  // Reads a length of type T and returns that many bytes after it.
  template <typename T>
  absl::StatusOr<absl::string_view> Counted() {
    FT_ASSIGN_OR_RETURN(const T n, Number<T>());
    if (n < 0) return Bad("a length is negative");
    return Take(n);
  }

  absl::StatusOr<absl::string_view> Line() {
    const size_t end = bytes_.substr(at_, kMaxNameBytes + 1).find('\n');
    if (end != absl::string_view::npos) {
      const absl::string_view line = bytes_.substr(at_, end);
      at_ += end + 1;
      return line;
    }
    if (bytes_.size() - at_ > kMaxNameBytes) return Bad("a name is too long");
    return Take(kMaxNameBytes + 1);  // returns the error for a truncated pickle
  }

  absl::Status Push(Item item) {
    stack_.push_back(item);
    return absl::OkStatus();
  }
  absl::Status PushNode(Kind kind, absl::string_view text, std::vector<Item> items = {}) {
    return Push(Add(kind, text, std::move(items)));
  }
  absl::Status PushText(Kind kind, absl::StatusOr<absl::string_view> text) {
    FT_RETURN_IF_ERROR(text.status());
    return PushNode(kind, *text);
  }
  Item Add(Kind kind, absl::string_view text, std::vector<Item> items = {}) {
    items_ += items.size();
    graph_.nodes_.push_back({kind, text, std::move(items)});
    return Ref{static_cast<uint32_t>(graph_.nodes_.size() - 1)};
  }

  // Returns the lowest stack index that opcodes may pop now: that of the last mark. Items below it
  // belong to an enclosing object.
  size_t Floor() const { return marks_.empty() ? 0 : marks_.back(); }

  absl::StatusOr<Item> Pop() {
    if (stack_.size() <= Floor()) return Bad("its stack is empty");
    const Item item = stack_.back();
    stack_.pop_back();
    return item;
  }

  // Removes the last mark and the items above it. Returns these items in the order in which they
  // were pushed.
  absl::StatusOr<std::vector<Item>> PopToMark() {
    if (marks_.empty()) return Bad("a mark is missing");
    const auto mark = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Item> items(mark, stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }

  absl::StatusOr<Node*> Top() {
    if (stack_.size() <= Floor()) return Bad("its stack is empty");
    const Ref* ref = std::get_if<Ref>(&stack_.back());
    if (ref == nullptr) return Bad("a plain value is used as a container");
    return &graph_.nodes_[ref->node];
  }

  const Node* Get(const Item& item, Kind kind) const { return graph_.Get(item, kind); }

  absl::Status PushTuple(size_t n) {
    if (stack_.size() - Floor() < n) return Bad("its stack is empty");
    std::vector<Item> items(stack_.end() - static_cast<std::ptrdiff_t>(n), stack_.end());
    stack_.resize(stack_.size() - n);
    return PushNode(Kind::kList, {}, std::move(items));
  }

  absl::Status PushLong(absl::string_view raw) {
    if (raw.size() > 8) return PushNode(Kind::kBigInt, raw);
    const bool negative = !raw.empty() && (raw.back() & 0x80) != 0;
    int64_t value = negative ? -1 : 0;
    std::memcpy(&value, raw.data(), raw.size());
    return Push(value);
  }

  absl::Status PushGlobal(absl::string_view module, absl::string_view name) {
    if (module.size() > kMaxNameBytes || name.size() > kMaxNameBytes) {
      return Bad("a name is too long");
    }
    // Call() compares with the names of Python 3 and NumPy 1. So names of Python 2 and of NumPy 2
    // are replaced here.
    if (module == "__builtin__") module = "builtins";
    if (module == "numpy._core.multiarray") module = "numpy.core.multiarray";
    const std::string& full = *graph_.names_.insert(absl::StrCat(module, ".", name)).first;
    return PushNode(Kind::kGlobal, full);
  }

  absl::Status Memoize(uint32_t index) {
    if (stack_.size() <= Floor()) return Bad("its stack is empty");
    memo_[index] = stack_.back();
    return absl::OkStatus();
  }

  absl::Status Recall(uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) return Bad(absl::StrCat("memo ", index, " was never set"));
    return Push(found->second);
  }

  absl::Status Append(Kind kind, const std::vector<Item>& items) {
    FT_ASSIGN_OR_RETURN(Node* const top, Top());
    if (top->kind == Kind::kOpaque) return absl::OkStatus();  // such as a subclass of list
    if (top->kind != kind) return Bad("items are added to a value that is not a container");
    if (kind == Kind::kDict && items.size() % 2 != 0) return Bad("a key has no value");
    top->items.insert(top->items.end(), items.begin(), items.end());
    items_ += items.size();
    return absl::OkStatus();
  }

  // APPEND and SETITEM: moves the top `n` items of the stack into the container below them.
  absl::Status AppendLast(Kind kind, size_t n) {
    std::vector<Item> items(n);
    for (size_t i = n; i-- > 0;) {
      FT_ASSIGN_OR_RETURN(items[i], Pop());
    }
    return Append(kind, items);
  }

  absl::Status AppendToMark(Kind kind) {
    FT_ASSIGN_OR_RETURN(const std::vector<Item> items, PopToMark());
    return Append(kind, items);
  }

  // BINPERSID: replaces the tuple on the stack. ("storage", class, key, location, elements[, view])
  // becomes a storage. ("module", class, file, source), which a legacy file of a whole model may
  // have, becomes the class.
  absl::Status PersistentId() {
    FT_ASSIGN_OR_RETURN(const Item id, Pop());
    const Node* tuple = Get(id, Kind::kList);
    const Node* tag =
        tuple == nullptr || tuple->items.empty() ? nullptr : Get(tuple->items[0], Kind::kString);
    const size_t size = tag == nullptr ? 0 : tuple->items.size();
    if (size == 4 && tag->text == "module") return Push(tuple->items[1]);
    if (size < 5 || size > 6 || tag->text != "storage") {
      return Bad("a persistent id is neither a storage's nor a class's");
    }
    return PushNode(Kind::kStorage, {}, {tuple->items.begin() + 1, tuple->items.end()});
  }

  absl::Status Build() {
    FT_ASSIGN_OR_RETURN(const Item state, Pop());
    FT_ASSIGN_OR_RETURN(Node* const top, Top());
    if (top->kind == Kind::kDtype) {
      // The state is (version, byte order, ...). A big-endian type becomes opaque.
      const Node* tuple = Get(state, Kind::kList);
      const Node* order = tuple != nullptr && tuple->items.size() > 1
                              ? Get(tuple->items[1], Kind::kString)
                              : nullptr;
      if (order == nullptr || order->text == ">") *top = {Kind::kOpaque, "numpy.dtype", {}};
    }
    if (top->kind == Kind::kNdarray) {
      // The state is (version, shape, dtype, whether it is in Fortran order, bytes).
      const Node* tuple = Get(state, Kind::kList);
      if (tuple != nullptr && tuple->items.size() == 5) {
        top->items.assign(tuple->items.begin() + 1, tuple->items.end());
        items_ += top->items.size();
      }
    }
    // The state of other objects (such as an OrderedDict's _metadata) is dropped.
    return absl::OkStatus();
  }

  // REDUCE and NEWOBJ: pops the arguments and the callable below them, and pushes what Call()
  // returns.
  absl::Status Reduce() {
    FT_ASSIGN_OR_RETURN(const Item args, Pop());
    FT_ASSIGN_OR_RETURN(const Item callable, Pop());
    FT_ASSIGN_OR_RETURN(const Item result, Call(callable, args));
    return Push(result);
  }

  absl::StatusOr<Item> Call(const Item& callable, const Item& arguments) {
    const Node* node = graph_.Get(callable);
    if (node == nullptr || (node->kind != Kind::kGlobal && node->kind != Kind::kOpaque)) {
      return Bad("a plain value is called");
    }
    const absl::string_view name = node->text;
    const Node* tuple = Get(arguments, Kind::kList);
    if (node->kind == Kind::kOpaque || tuple == nullptr) return Add(Kind::kOpaque, name);

    const std::vector<Item>& args = tuple->items;
    const auto first = [&](Kind kind) { return args.empty() ? nullptr : Get(args[0], kind); };
    if (name == "collections.OrderedDict" || name == "builtins.dict") {
      if (args.empty()) return Add(Kind::kDict, {});
      return DictOfPairs(name, args[0]);
    }
    if (name == "collections.defaultdict") return Add(Kind::kDict, {});
    if (name == "builtins.set" || name == "builtins.frozenset" || name == "torch.Size") {
      const Node* list = first(Kind::kList);
      if (list != nullptr || args.empty()) {
        return Add(Kind::kList, {}, list == nullptr ? std::vector<Item>() : list->items);
      }
    }
    if (name == "_codecs.encode" && args.size() == 2) {
      const Node* text = first(Kind::kString);
      const Node* encoding = Get(args[1], Kind::kString);
      if (text != nullptr && encoding != nullptr && encoding->text == "latin1") {
        return Add(Kind::kLatin1, text->text);
      }
    }
    if (name == "builtins.bytes" && args.empty()) return Add(Kind::kBytes, {});
    if (name == "numpy.dtype") {
      const Node* code = first(Kind::kString);
      if (code != nullptr) return Add(Kind::kDtype, code->text);
    }
    if (name == "numpy.core.multiarray.scalar" && args.size() == 2) {
      if (const std::optional<Item> value = Scalar(args[0], args[1])) return *value;
    }
    // An array without a state. BUILD sets the state later.
    if (name == "numpy.core.multiarray._reconstruct") return Add(Kind::kNdarray, name);
    if (absl::StartsWith(name, "torch.")) return CallTorch(name, args);
    return Add(Kind::kOpaque, name);
  }

  // Returns the dict for the call OrderedDict([(key, value), ...]), as which Python 2 pickled an
  // OrderedDict.
  absl::StatusOr<Item> DictOfPairs(absl::string_view name, const Item& pairs) {
    const Node* list = Get(pairs, Kind::kList);
    if (list == nullptr) return Add(Kind::kOpaque, name);
    std::vector<Item> items;
    items.reserve(2 * list->items.size());
    for (const Item& one : list->items) {
      const Node* pair = Get(one, Kind::kList);
      if (pair == nullptr || pair->items.size() != 2) return Bad("a dict's item is not a pair");
      items.insert(items.end(), pair->items.begin(), pair->items.end());
    }
    return Add(Kind::kDict, {}, std::move(items));
  }

  std::optional<Item> Scalar(const Item& type, const Item& value) const {
    const Node* dtype = Get(type, Kind::kDtype);
    const Node* bytes = graph_.Get(value);
    if (dtype == nullptr || bytes == nullptr || bytes->text.size() > 16) return std::nullopt;
    if (bytes->kind == Kind::kBytes) return NumpyScalar(dtype->text, bytes->text);
    if (bytes->kind != Kind::kLatin1) return std::nullopt;
    const std::optional<std::string> decoded = DecodeLatin1(bytes->text);
    return decoded ? NumpyScalar(dtype->text, *decoded) : std::nullopt;
  }

  // Returns the result of a call of a function in torch/_utils.py or torch/_tensor.py.
  absl::StatusOr<Item> CallTorch(absl::string_view name, absl::Span<const Item> args) {
    if (name == "torch._tensor._rebuild_from_type_v2") {
      // The arguments are (function, type, args, state): a tensor with Python attributes. The
      // attributes are dropped and function(*args) is used.
      const Node* function = args.size() == 4 ? Get(args[0], Kind::kGlobal) : nullptr;
      const Node* inner = args.size() == 4 ? Get(args[2], Kind::kList) : nullptr;
      if (function == nullptr || inner == nullptr) return Add(Kind::kOpaque, name);
      name = function->text;
      args = inner->items;
    }
    if (name == "torch._utils._rebuild_wrapper_subclass" && !args.empty()) {
      // The arguments are (class, dtype, size, ...): a tensor that is composed of other tensors,
      // such as those of torchao and DTensor. It becomes opaque.
      const Node* type = Get(args[0], Kind::kGlobal);
      return Add(Kind::kOpaque, type == nullptr ? name : type->text);
    }
    if (name == "torch._utils._rebuild_parameter" ||
        name == "torch._utils._rebuild_parameter_with_state") {
      // The arguments are (tensor, requires_grad, hooks[, state]).
      if (args.size() < 3) return Bad(absl::StrCat(name, " has too few arguments"));
      return args[0];
    }
    // The arguments are (storage, offset, size, stride[, requires_grad, hooks[, metadata]]).
    // _rebuild_tensor_v3 has the tensor's type before metadata.
    const bool v3 = name == "torch._utils._rebuild_tensor_v3";
    if (v3 || name == "torch._utils._rebuild_tensor_v2" || name == "torch._utils._rebuild_tensor") {
      if (args.size() < (v3 ? 7u : 4u)) return Bad(absl::StrCat(name, " has too few arguments"));
      std::vector<Item> tensor(args.begin(), args.begin() + 4);
      if (v3) tensor.push_back(args[6]);
      return Add(Kind::kTensor, {}, std::move(tensor));
    }
    return Add(Kind::kOpaque, name);
  }

  absl::Status Execute(uint8_t opcode) {
    switch (opcode) {
      case 0x80: {  // PROTO
        FT_ASSIGN_OR_RETURN(const uint8_t protocol, Number<uint8_t>());
        if (protocol > 5) return Bad(absl::StrCat("protocol ", protocol, " is not known"));
        return absl::OkStatus();
      }
      case 0x95: {  // FRAME: a hint for buffering, not needed here
        return Number<uint64_t>().status();
      }

      case 'N':  // NONE
        return Push(std::monostate());
      case 0x88:  // NEWTRUE
        return Push(true);
      case 0x89:  // NEWFALSE
        return Push(false);
      case 'J': {  // BININT
        FT_ASSIGN_OR_RETURN(const int32_t n, Number<int32_t>());
        return Push(int64_t{n});
      }
      case 'K': {  // BININT1
        FT_ASSIGN_OR_RETURN(const uint8_t n, Number<uint8_t>());
        return Push(int64_t{n});
      }
      case 'M': {  // BININT2
        FT_ASSIGN_OR_RETURN(const uint16_t n, Number<uint16_t>());
        return Push(int64_t{n});
      }
      case 0x8a: {  // LONG1
        FT_ASSIGN_OR_RETURN(const absl::string_view raw, Counted<uint8_t>());
        return PushLong(raw);
      }
      case 0x8b: {  // LONG4
        FT_ASSIGN_OR_RETURN(const absl::string_view raw, Counted<int32_t>());
        return PushLong(raw);
      }
      case 'G': {  // BINFLOAT: big-endian
        FT_ASSIGN_OR_RETURN(const uint64_t bits, Number<uint64_t>());
        return Push(std::bit_cast<double>(__builtin_bswap64(bits)));
      }

      case 'X':  // BINUNICODE
        return PushText(Kind::kString, Counted<uint32_t>());
      case 0x8c:  // SHORT_BINUNICODE
        return PushText(Kind::kString, Counted<uint8_t>());
      case 0x8d:  // BINUNICODE8
        return PushText(Kind::kString, Counted<uint64_t>());
      case 'T':  // BINSTRING, SHORT_BINSTRING: Python 2's str
        return PushText(Kind::kString, Counted<int32_t>());
      case 'U':
        return PushText(Kind::kString, Counted<uint8_t>());
      case 'B':  // BINBYTES
        return PushText(Kind::kBytes, Counted<uint32_t>());
      case 'C':  // SHORT_BINBYTES
        return PushText(Kind::kBytes, Counted<uint8_t>());
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        return PushText(Kind::kBytes, Counted<uint64_t>());

      case ']':   // EMPTY_LIST
      case ')':   // EMPTY_TUPLE
      case 0x8f:  // EMPTY_SET
        return PushNode(Kind::kList, {});
      case '}':  // EMPTY_DICT
        return PushNode(Kind::kDict, {});
      case '(':  // MARK
        marks_.push_back(stack_.size());
        return absl::OkStatus();
      case 'l':     // LIST
      case 't':     // TUPLE
      case 0x91: {  // FROZENSET
        FT_ASSIGN_OR_RETURN(std::vector<Item> items, PopToMark());
        return PushNode(Kind::kList, {}, std::move(items));
      }
      case 'd': {  // DICT
        FT_ASSIGN_OR_RETURN(std::vector<Item> items, PopToMark());
        if (items.size() % 2 != 0) return Bad("a key has no value");
        return PushNode(Kind::kDict, {}, std::move(items));
      }
      case 0x85:  // TUPLE1, TUPLE2, TUPLE3
        return PushTuple(1);
      case 0x86:
        return PushTuple(2);
      case 0x87:
        return PushTuple(3);
      case 'a':  // APPEND
        return AppendLast(Kind::kList, 1);
      case 'e':   // APPENDS
      case 0x90:  // ADDITEMS
        return AppendToMark(Kind::kList);
      case 's':  // SETITEM
        return AppendLast(Kind::kDict, 2);
      case 'u':  // SETITEMS
        return AppendToMark(Kind::kDict);

      case '0':  // POP
        return Pop().status();
      case '1':  // POP_MARK
        return PopToMark().status();
      case '2': {  // DUP
        if (stack_.size() <= Floor()) return Bad("its stack is empty");
        return Push(stack_.back());
      }
      case 'q': {  // BINPUT
        FT_ASSIGN_OR_RETURN(const uint8_t index, Number<uint8_t>());
        return Memoize(index);
      }
      case 'r': {  // LONG_BINPUT
        FT_ASSIGN_OR_RETURN(const uint32_t index, Number<uint32_t>());
        return Memoize(index);
      }
      case 0x94:  // MEMOIZE
        return Memoize(static_cast<uint32_t>(memo_.size()));
      case 'h': {  // BINGET
        FT_ASSIGN_OR_RETURN(const uint8_t index, Number<uint8_t>());
        return Recall(index);
      }
      case 'j': {  // LONG_BINGET
        FT_ASSIGN_OR_RETURN(const uint32_t index, Number<uint32_t>());
        return Recall(index);
      }

      case 'c': {  // GLOBAL
        FT_ASSIGN_OR_RETURN(const absl::string_view module, Line());
        FT_ASSIGN_OR_RETURN(const absl::string_view name, Line());
        return PushGlobal(module, name);
      }
      case 0x93: {  // STACK_GLOBAL
        FT_ASSIGN_OR_RETURN(const Item name, Pop());
        FT_ASSIGN_OR_RETURN(const Item module, Pop());
        const Node* name_text = Get(name, Kind::kString);
        const Node* module_text = Get(module, Kind::kString);
        if (name_text == nullptr || module_text == nullptr) return Bad("a global has no name");
        return PushGlobal(module_text->text, name_text->text);
      }
      case 'R':   // REDUCE
      case 0x81:  // NEWOBJ
        return Reduce();
      case 0x92: {  // NEWOBJ_EX: a call with keyword arguments, which is always opaque
        FT_RETURN_IF_ERROR(Pop().status());
        FT_RETURN_IF_ERROR(Pop().status());
        FT_ASSIGN_OR_RETURN(const Item callable, Pop());
        const Node* global = Get(callable, Kind::kGlobal);
        if (global == nullptr) return Bad("a plain value is called");
        return PushNode(Kind::kOpaque, global->text);
      }
      case 'b':  // BUILD
        return Build();
      case 'Q':  // BINPERSID
        return PersistentId();

      default:
        return Bad(absl::StrFormat("opcode 0x%02x is not known", opcode));
    }
  }

  const absl::string_view bytes_;
  const PickleGraph::Limits limits_;
  size_t at_ = 0;
  size_t opcode_at_ = 0;
  std::vector<Item> stack_;
  std::vector<size_t> marks_;
  absl::flat_hash_map<uint32_t, Item> memo_;
  // The number of items of all nodes together. It must be bounded because a call such as set(list)
  // copies a list, so that nodes may have many more items than the pickle has bytes.
  size_t items_ = 0;
  PickleGraph graph_;
};

absl::StatusOr<PickleGraph> PickleGraph::Parse(absl::string_view bytes, const Limits& limits) {
  return PickleMachine(bytes, limits).Run();
}

const PickleGraph::Item* PickleGraph::Find(const Item& dict, absl::string_view key) const {
  const Node* node = Get(dict, Kind::kDict);
  if (node == nullptr) return nullptr;
  for (size_t i = node->items.size(); i > 0; i -= 2) {
    const Node* name = Get(node->items[i - 2], Kind::kString);
    if (name != nullptr && name->text == key) return &node->items[i - 1];
  }
  return nullptr;
}

const PickleGraph::Item* FindTextOrBytes(const PickleGraph& graph, const PickleGraph::Item& dict,
                                         absl::string_view key) {
  const Node* node = graph.Get(dict, Kind::kDict);
  if (node == nullptr) return nullptr;
  for (size_t i = node->items.size(); i > 0; i -= 2) {
    const Node* name = graph.Get(node->items[i - 2]);
    if (name != nullptr && name->text == key &&
        (name->kind == Kind::kString || name->kind == Kind::kBytes ||
         name->kind == Kind::kLatin1)) {
      return &node->items[i - 1];
    }
  }
  return nullptr;
}

absl::StatusOr<ByteArray> GetByteArray(const PickleGraph& graph, const PickleGraph::Item& item) {
  const Node* node = graph.Get(item, Kind::kNdarray);
  if (node == nullptr || node->items.size() != 4) {
    return absl::InvalidArgumentError("expected a numpy array");
  }
  const Node* shape = graph.Get(node->items[0], Kind::kList);
  const Node* dtype = graph.Get(node->items[1], Kind::kDtype);
  const Node* bytes = graph.Get(node->items[3]);
  if (dtype == nullptr || dtype->text != "u1") {
    return absl::InvalidArgumentError("expected an array of numpy.uint8");
  }
  // Python 2 pickled the bool as a number.
  const bool* fortran = std::get_if<bool>(&node->items[2]);
  const int64_t* number = std::get_if<int64_t>(&node->items[2]);
  if ((fortran == nullptr || *fortran) && (number == nullptr || *number != 0)) {
    return absl::InvalidArgumentError("expected an array in C's order");
  }
  ByteArray array;
  int64_t size = 1;
  if (shape == nullptr) return absl::InvalidArgumentError("expected an array with a shape");
  for (const Item& side : shape->items) {
    const int64_t* length = std::get_if<int64_t>(&side);
    if (length == nullptr || *length < 0 || __builtin_mul_overflow(size, *length, &size)) {
      return absl::InvalidArgumentError("expected an array with a shape of whole numbers");
    }
    array.shape.push_back(*length);
  }
  if (bytes != nullptr && bytes->kind == Kind::kLatin1) {
    std::optional<std::string> decoded = DecodeLatin1(bytes->text);
    if (!decoded) return absl::InvalidArgumentError("expected an array of bytes in Latin-1");
    array.bytes = *std::move(decoded);
  } else if (bytes != nullptr && (bytes->kind == Kind::kBytes || bytes->kind == Kind::kString)) {
    array.bytes = std::string(bytes->text);
  } else {
    return absl::InvalidArgumentError("expected an array with its bytes");
  }
  if (static_cast<int64_t>(array.bytes.size()) != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("an array has ", array.bytes.size(), " bytes; its shape says ", size));
  }
  return array;
}

}  // namespace finetune
