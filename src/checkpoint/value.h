#ifndef FINETUNE_CHECKPOINT_VALUE_H_
#define FINETUNE_CHECKPOINT_VALUE_H_

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "src/tensor/named_tensor.h"

namespace finetune {

// A value in a checkpoint: None, a bool, int, float, str, bytes, list (also for a tuple or set),
// dict or tensor of Python, or an opaque object. Copying is cheap, because copies share containers,
// strings and tensors. Containers and strings never change once they are in a Value.
//
//   Value::Dict meta;
//   meta.Append("epoch", 3);
//   meta.Append("classes", Value::List{"cat", "dog"});
//   FT_ASSIGN_OR_RETURN(int64_t epoch, Value(meta).GetInt("epoch"));
class Value {
 public:
  using List = std::vector<Value>;

  // A dict in insertion order, as in Python. finetune writes only string keys. Files of other
  // programs may have other keys, such as integers in an optimizer's state.
  class Dict {
   public:
    using Entry = std::pair<Value, Value>;
    // The caller must not append a key twice.
    void Append(Value key, Value value) { entries_.emplace_back(std::move(key), std::move(value)); }
    // Returns the value of a string key, or null if the dict lacks the key. It searches all entries
    // one by one; to visit all entries, use entries().
    const Value* Find(absl::string_view key) const;
    const std::vector<Entry>& entries() const { return entries_; }
    std::vector<Entry>& entries() { return entries_; }

   private:
    std::vector<Entry> entries_;
  };

  // An object of any other Python class, of which only the name of the class (or of the function
  // that makes the object) is known.
  struct Opaque {
    std::string type;
  };
  struct Bytes {
    std::string bytes;
  };

  Value() = default;                         // None
  Value(bool v) : v_(v) {}                   // NOLINT(google-explicit-constructor)
  Value(int v) : v_(int64_t{v}) {}           // NOLINT(google-explicit-constructor)
  Value(int64_t v) : v_(v) {}                // NOLINT(google-explicit-constructor)
  Value(double v) : v_(v) {}                 // NOLINT(google-explicit-constructor)
  Value(std::string v);                      // NOLINT(google-explicit-constructor)
  Value(const char* v);                      // NOLINT(google-explicit-constructor)
  Value(absl::string_view v);                // NOLINT(google-explicit-constructor)
  Value(Bytes v);                            // NOLINT(google-explicit-constructor)
  Value(List v);                             // NOLINT(google-explicit-constructor)
  Value(Dict v);                             // NOLINT(google-explicit-constructor)
  Value(Opaque v);                           // NOLINT(google-explicit-constructor)
  Value(at::Tensor v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

  bool is_none() const { return std::holds_alternative<std::monostate>(v_); }
  // Each of these returns the value, or null if the value is of another kind.
  const bool* boolean() const { return std::get_if<bool>(&v_); }
  const int64_t* integer() const { return std::get_if<int64_t>(&v_); }
  const double* real() const { return std::get_if<double>(&v_); }
  const at::Tensor* tensor() const { return std::get_if<at::Tensor>(&v_); }
  const std::string* string() const { return Shared<std::string>(); }
  const Bytes* bytes() const { return Shared<Bytes>(); }
  const List* list() const { return Shared<List>(); }
  const Dict* dict() const { return Shared<Dict>(); }
  const Opaque* opaque() const { return Shared<Opaque>(); }

  // Returns the value's kind for messages: "None", "bool", "int", ..., "Tensor", or the class of an
  // opaque object.
  std::string TypeName() const;

  // These return the entry `key` of this value, which must be a dict. Errors, which name the key:
  // NotFound if there is no such entry or this value is not a dict; InvalidArgument if the entry is
  // of another kind.
  absl::StatusOr<Value> Get(absl::string_view key) const;
  absl::StatusOr<bool> GetBool(absl::string_view key) const;
  absl::StatusOr<int64_t> GetInt(absl::string_view key) const;
  absl::StatusOr<double> GetDouble(absl::string_view key) const;  // accepts an int too
  absl::StatusOr<std::string> GetString(absl::string_view key) const;
  absl::StatusOr<at::Tensor> GetTensor(absl::string_view key) const;
  absl::StatusOr<std::vector<std::string>> GetStrings(absl::string_view key) const;
  // Returns the entry `key`, which must be a dict of tensors, as a list of names and tensors.
  absl::StatusOr<TensorList> GetTensors(absl::string_view key) const;

  // Returns a dict of tensors by name. They share memory with `tensors`.
  static Value FromTensors(const TensorList& tensors);

 private:
  template <typename T>
  const T* Shared() const {
    const auto* p = std::get_if<std::shared_ptr<const T>>(&v_);
    return p == nullptr ? nullptr : p->get();
  }

  std::variant<std::monostate, bool, int64_t, double, at::Tensor,
               std::shared_ptr<const std::string>, std::shared_ptr<const Bytes>,
               std::shared_ptr<const List>, std::shared_ptr<const Dict>,
               std::shared_ptr<const Opaque>>
      v_;
};

// Returns a name that comes from a file in a form for messages: unprintable bytes are escaped, and
// the middle of a name of more than 200 bytes is left out.
std::string Printable(absl::string_view name);

}  // namespace finetune

#endif  // FINETUNE_CHECKPOINT_VALUE_H_
