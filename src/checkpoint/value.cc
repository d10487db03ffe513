#include "src/checkpoint/value.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/status_macros.h"

namespace finetune {
namespace {

absl::Status WrongKind(absl::string_view key, const Value& value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("\"", Printable(key), "\" is of type ",
                                                 value.TypeName(), ", expected ", expected));
}

}  // namespace

Value::Value(std::string v) : v_(std::make_shared<const std::string>(std::move(v))) {}
Value::Value(const char* v) : Value(std::string(v)) {}
Value::Value(absl::string_view v) : Value(std::string(v)) {}
Value::Value(Bytes v) : v_(std::make_shared<const Bytes>(std::move(v))) {}
Value::Value(List v) : v_(std::make_shared<const List>(std::move(v))) {}
Value::Value(Dict v) : v_(std::make_shared<const Dict>(std::move(v))) {}
Value::Value(Opaque v) : v_(std::make_shared<const Opaque>(std::move(v))) {}

const Value* Value::Dict::Find(absl::string_view key) const {
  for (const auto& [k, v] : entries_) {
    const std::string* name = k.string();
    if (name != nullptr && *name == key) return &v;
  }
  return nullptr;
}

std::string Value::TypeName() const {
  if (boolean() != nullptr) return "bool";
  if (integer() != nullptr) return "int";
  if (real() != nullptr) return "float";
  if (string() != nullptr) return "str";
  if (bytes() != nullptr) return "bytes";
  if (list() != nullptr) return "list";
  if (dict() != nullptr) return "dict";
  if (tensor() != nullptr) return "Tensor";
  if (opaque() != nullptr) return Printable(opaque()->type);
  return "None";
}

absl::StatusOr<Value> Value::Get(absl::string_view key) const {
  if (dict() == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no \"", Printable(key),
                                            "\": it would be in a value of type ", TypeName(),
                                            ", not a dict"));
  }
  const Value* found = dict()->Find(key);
  if (found == nullptr) {
    return absl::NotFoundError(absl::StrCat("there is no \"", Printable(key), "\""));
  }
  return *found;
}

absl::StatusOr<bool> Value::GetBool(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.boolean() == nullptr) return WrongKind(key, value, "bool");
  return *value.boolean();
}

absl::StatusOr<int64_t> Value::GetInt(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.integer() == nullptr) return WrongKind(key, value, "int");
  return *value.integer();
}

absl::StatusOr<double> Value::GetDouble(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.integer() != nullptr) return static_cast<double>(*value.integer());
  if (value.real() == nullptr) return WrongKind(key, value, "float");
  return *value.real();
}

absl::StatusOr<std::string> Value::GetString(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.string() == nullptr) return WrongKind(key, value, "str");
  return *value.string();
}

absl::StatusOr<at::Tensor> Value::GetTensor(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.tensor() == nullptr) return WrongKind(key, value, "Tensor");
  return *value.tensor();
}

absl::StatusOr<std::vector<std::string>> Value::GetStrings(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.list() == nullptr) return WrongKind(key, value, "list of str");
  std::vector<std::string> strings;
  strings.reserve(value.list()->size());
  for (const Value& one : *value.list()) {
    if (one.string() == nullptr) return WrongKind(key, one, "a list of nothing but str");
    strings.push_back(*one.string());
  }
  return strings;
}

absl::StatusOr<TensorList> Value::GetTensors(absl::string_view key) const {
  FT_ASSIGN_OR_RETURN(const Value value, Get(key));
  if (value.dict() == nullptr) return WrongKind(key, value, "dict of Tensor");
  TensorList tensors;
  tensors.reserve(value.dict()->entries().size());
  for (const auto& [k, v] : value.dict()->entries()) {
    if (k.string() == nullptr) return WrongKind(absl::StrCat(key, "'s key"), k, "str");
    if (v.tensor() == nullptr) return WrongKind(absl::StrCat(key, ".", *k.string()), v, "Tensor");
    tensors.push_back({*k.string(), *v.tensor()});
  }
  return tensors;
}

Value Value::FromTensors(const TensorList& tensors) {
  Dict dict;
  for (const NamedTensor& one : tensors) dict.Append(one.name, one.tensor);
  return dict;
}

std::string Printable(absl::string_view name) {
  constexpr size_t kEnd = 100;
  if (name.size() > 2 * kEnd) {
    return absl::StrCat(absl::CHexEscape(name.substr(0, kEnd)), "...",
                        absl::CHexEscape(name.substr(name.size() - kEnd)));
  }
  return absl::CHexEscape(name);
}

}  // namespace finetune
