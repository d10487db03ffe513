#include "src/checkpoint/own_metadata.h"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"
#include "src/base/utf8.h"
#include "src/checkpoint/own_checkpoint.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

// The most bytes that the texts of all entries may have together. A JSON text can take ten times
// its size as values. A million class names of 15 characters have fewer bytes.
constexpr size_t kMostBytes = size_t{16} << 20;

enum class Kind { kText, kInteger, kList, kDict };

struct EntryOfMeta {
  const char* name;
  // The dict in "meta" that has the value: "" for "meta" itself.
  const char* dict;
  const char* key;
  Kind kind;
};

// "writer" and "format_version" come first, as AppendWriter() writes them.
constexpr EntryOfMeta kEntries[] = {
    {"writer", "", "writer", Kind::kText},
    {"format_version", "", "format_version", Kind::kInteger},
    {"class_names", "", "CLASSES", Kind::kList},
    {"mean", "data", "mean", Kind::kList},
    {"std", "data", "std", Kind::kList},
    {"train_data", "data", "train", Kind::kDict},
    {"val_data", "data", "val", Kind::kDict},
    {"config", "", "cfg", Kind::kText},
};

std::string Describe(Kind kind) {
  switch (kind) {
    case Kind::kText:
      return "a text";
    case Kind::kInteger:
      return "an integer";
    case Kind::kList:
      return "a JSON list of texts or numbers";
    case Kind::kDict:
      return "a JSON object of texts, numbers and bools";
  }
  return "";
}

Json ToJson(const Value& value) {
  if (value.boolean() != nullptr) return *value.boolean();
  if (value.integer() != nullptr) return *value.integer();
  if (value.real() != nullptr) return *value.real();
  if (value.string() != nullptr) return ValidUtf8(*value.string());
  if (value.list() != nullptr) {
    Json list = Json::array();
    for (const Value& one : *value.list()) list.push_back(ToJson(one));
    return list;
  }
  Json object = Json::object();
  if (value.dict() == nullptr) return object;
  for (const auto& [key, entry] : value.dict()->entries()) {
    if (key.string() != nullptr) object[ValidUtf8(*key.string())] = ToJson(entry);
  }
  return object;
}

// Parses a JSON text that is a scalar, or a list or an object of scalars. Refuses deeper nesting at
// once, so that a hostile text cannot make many containers.
class ScalarsParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  Value Take() {
    if (kind_ == Kind::kList) return std::move(list_);
    if (kind_ == Kind::kDict) return std::move(dict_);
    return list_.empty() ? Value() : list_.front();
  }

  bool null() override { return false; }
  bool boolean(bool value) override { return Add(value); }
  bool number_integer(number_integer_t value) override { return Add(int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    return value <= uint64_t{INT64_MAX} && Add(static_cast<int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return Add(value); }
  bool string(string_t& value) override { return Add(value); }
  bool binary(binary_t&) override { return false; }
  bool start_object(size_t) override { return Start(Kind::kDict); }
  bool key(string_t& name) override {
    key_ = name;
    return keys_.insert(name).second;
  }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return Start(Kind::kList); }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  bool Start(Kind kind) {
    if (kind_ != Kind::kInteger) return false;
    kind_ = kind;
    return true;
  }
  bool Add(Value value) {
    if (kind_ == Kind::kDict) {
      dict_.Append(key_, std::move(value));
    } else {
      list_.push_back(std::move(value));
    }
    return true;
  }

  // kInteger stands for any scalar.
  Kind kind_ = Kind::kInteger;
  Value::List list_;
  Value::Dict dict_;
  std::string key_;
  absl::flat_hash_set<std::string> keys_;
};

// Returns the value of an entry's text. Errors: InvalidArgument if the text is not of this kind.
absl::StatusOr<Value> FromText(const std::string& text, Kind kind) {
  if (kind == Kind::kText) return Value(text);
  ScalarsParser parser;
  if (nlohmann::json::sax_parse(text, &parser)) {
    Value value = parser.Take();
    if ((kind == Kind::kInteger && value.integer() != nullptr) ||
        (kind == Kind::kList && value.list() != nullptr) ||
        (kind == Kind::kDict && value.dict() != nullptr)) {
      return value;
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("found \"", Printable(text), "\", expected ", Describe(kind)));
}

}  // namespace

TextEntries MetaToEntries(const Value& meta) {
  TextEntries entries;
  for (const EntryOfMeta& entry : kEntries) {
    const absl::StatusOr<Value> dict = *entry.dict == '\0' ? meta : meta.Get(entry.dict);
    const absl::StatusOr<Value> value = dict.ok() ? dict->Get(entry.key) : dict.status();
    if (!value.ok()) continue;
    entries.emplace_back(entry.name, entry.kind == Kind::kText && value->string() != nullptr
                                         ? ValidUtf8(*value->string())
                                         : ToJson(*value).dump());
  }
  return entries;
}

absl::StatusOr<std::optional<Value>> EntriesToMeta(const TextEntries& entries) {
  std::map<std::string, const std::string*> texts;
  size_t bytes = 0;
  for (const auto& [name, text] : entries) {
    texts[name] = &text;
    bytes += text.size();
  }
  const auto writer = texts.find("writer");
  if (writer == texts.end()) return std::nullopt;
  Value::Dict only_writer;
  only_writer.Append("writer", *writer->second);
  if (!NamesOwnWriter(Value(only_writer))) return std::nullopt;
  if (bytes > kMostBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("its __metadata__ has ", bytes, " bytes, expected at most ", kMostBytes));
  }
  Value::Dict meta, data;
  for (const EntryOfMeta& entry : kEntries) {
    const auto found = texts.find(entry.name);
    if (found == texts.end()) continue;
    absl::StatusOr<Value> value = FromText(*found->second, entry.kind);
    FT_RETURN_IF_ERROR(Annotate(
        value.status(), absl::StrCat("the entry \"", entry.name, "\" of its __metadata__")));
    (*entry.dict == '\0' ? meta : data).Append(entry.key, *std::move(value));
  }
  if (!data.entries().empty()) meta.Append("data", std::move(data));
  return Value(std::move(meta));
}

}  // namespace finetune
