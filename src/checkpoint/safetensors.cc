#include "src/checkpoint/safetensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/materialize.h"
#include "src/checkpoint/value.h"

namespace finetune {
namespace {

// The longest header that the safetensors format allows, in bytes.
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kMaxDimensions = 64;

struct Entry {
  std::string name;
  std::string dtype;
  std::optional<std::vector<uint64_t>> shape;
  std::optional<std::vector<uint64_t>> offsets;
};

// Parses the header's JSON event by event. So a hostile header is refused at its first wrong part,
// before it can fill the memory.
class HeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<Entry>& entries() { return entries_; }
  const std::string& error() const { return error_; }

  bool key(string_t& name) override {
    if (depth_ == 1) {
      in_metadata_ = name == "__metadata__";
      if (!in_metadata_) {
        if (!names_.insert(name).second) return Fail("a tensor is there twice", name);
        entries_.emplace_back().name = name;
      }
    } else {
      field_ = name;
    }
    return true;
  }
  bool start_object(size_t) override {
    ++depth_;
    return depth_ <= 2 && !in_array_ ? true : Fail("unexpected object", field_);
  }
  bool end_object() override {
    --depth_;
    in_metadata_ = false;
    return true;
  }
  bool start_array(size_t) override {
    if (depth_ != 2 || in_array_ || in_metadata_) {
      return Fail("unexpected list", field_);
    }
    in_array_ = true;
    if (field_ == "shape") return Start(entries_.back().shape);
    if (field_ == "data_offsets") return Start(entries_.back().offsets);
    return Fail("an unknown list", field_);
  }
  bool end_array() override {
    in_array_ = false;
    return true;
  }
  bool number_unsigned(number_unsigned_t n) override {
    if (!in_array_) return Fail("unexpected number", field_);
    if (numbers_->size() == kMaxDimensions) return Fail("a list is too long", field_);
    numbers_->push_back(n);
    return true;
  }
  bool string(string_t& text) override {
    if (depth_ == 2 && in_metadata_) return true;
    if (depth_ != 2 || in_array_ || field_ != "dtype") {
      return Fail("unexpected string", field_);
    }
    entries_.back().dtype = text;
    return true;
  }
  bool number_integer(number_integer_t) override { return Fail("a number is negative", field_); }
  bool number_float(number_float_t, const string_t&) override {
    return Fail("a number is not an integer", field_);
  }
  bool null() override { return Fail("unexpected null", field_); }
  bool boolean(bool) override { return Fail("unexpected bool", field_); }
  bool binary(binary_t&) override { return Fail("unexpected bytes", field_); }
  bool parse_error(size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("invalid JSON at byte ", position), "");
  }

 private:
  bool Fail(absl::string_view what, absl::string_view name) {
    error_ = name.empty() ? std::string(what) : absl::StrCat(what, " (\"", Printable(name), "\")");
    return false;
  }
  bool Start(std::optional<std::vector<uint64_t>>& list) {
    numbers_ = &list.emplace();
    return true;
  }

  std::vector<Entry> entries_;
  absl::flat_hash_set<std::string> names_;
  std::string field_;
  std::vector<uint64_t>* numbers_ = nullptr;
  int depth_ = 0;
  bool in_array_ = false;
  bool in_metadata_ = false;
  std::string error_;
};

std::optional<c10::ScalarType> Type(absl::string_view name) {
  constexpr std::pair<absl::string_view, c10::ScalarType> kTypes[] = {
      {"F64", c10::ScalarType::Double},
      {"F32", c10::ScalarType::Float},
      {"F16", c10::ScalarType::Half},
      {"BF16", c10::ScalarType::BFloat16},
      {"I64", c10::ScalarType::Long},
      {"I32", c10::ScalarType::Int},
      {"I16", c10::ScalarType::Short},
      {"I8", c10::ScalarType::Char},
      {"U8", c10::ScalarType::Byte},
      {"BOOL", c10::ScalarType::Bool},
      {"U16", c10::ScalarType::UInt16},
      {"U32", c10::ScalarType::UInt32},
      {"U64", c10::ScalarType::UInt64},
      {"F8_E4M3", c10::ScalarType::Float8_e4m3fn},
      {"F8_E5M2", c10::ScalarType::Float8_e5m2},
  };
  for (const auto& [known, type] : kTypes) {
    if (known == name) return type;
  }
  return std::nullopt;
}

absl::Status Bad(const Entry& entry, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("tensor \"", Printable(entry.name), "\" ", what));
}

// Returns an entry's type. Checks that its bytes lie within the data, which have `data_bytes`
// bytes, and that their number matches its type and shape.
absl::StatusOr<c10::ScalarType> Check(const Entry& entry, uint64_t data_bytes) {
  if (!entry.shape || !entry.offsets || entry.offsets->size() != 2) {
    return Bad(entry, "has no shape or no data_offsets");
  }
  const std::optional<c10::ScalarType> type = Type(entry.dtype);
  if (!type) {
    return Bad(entry, absl::StrCat("has the unsupported type \"", Printable(entry.dtype), "\""));
  }
  const uint64_t begin = (*entry.offsets)[0];
  const uint64_t end = (*entry.offsets)[1];
  if (begin > end) return Bad(entry, absl::StrCat("has the bytes ", begin, " to ", end));
  if (end > data_bytes) {
    return absl::DataLossError(absl::StrCat("it is cut off: tensor \"", Printable(entry.name),
                                            "\" ends at byte ", end, " of its data, which has ",
                                            data_bytes));
  }
  // Sides of length 0 count as 1 here, so that an empty tensor whose other sides overflow is
  // refused too.
  uint64_t bytes = c10::elementSize(*type);
  bool empty = false;
  for (const uint64_t extent : *entry.shape) {
    empty = empty || extent == 0;
    if (__builtin_mul_overflow(bytes, std::max<uint64_t>(extent, 1), &bytes) ||
        bytes > uint64_t{INT64_MAX}) {
      return Bad(entry, "has a shape that overflows");
    }
  }
  if ((empty ? 0 : bytes) != end - begin) {
    return Bad(entry, absl::StrCat("has ", end - begin, " bytes, its type and shape need ",
                                   empty ? 0 : bytes));
  }
  return *type;
}

absl::StatusOr<TensorList> ReadTensors(const InputFile& file) {
  uint64_t header_bytes = 0;
  FT_RETURN_IF_ERROR(file.Read(0, &header_bytes, sizeof(header_bytes)));
  if (header_bytes > file.size() - sizeof(header_bytes)) {
    return absl::DataLossError("it is cut off: the safetensors header is not whole");
  }
  const uint64_t data_at = sizeof(header_bytes) + header_bytes;
  const uint64_t data_bytes = file.size() - data_at;
  FT_ASSIGN_OR_RETURN(const std::string header, file.Read(sizeof(header_bytes), header_bytes));

  HeaderParser parser;
  if (!nlohmann::json::sax_parse(header, &parser)) {
    return absl::InvalidArgumentError(
        absl::StrCat("its safetensors header is wrong: ", parser.error()));
  }
  std::vector<std::pair<uint64_t, uint64_t>> extents;
  std::vector<c10::ScalarType> types;
  for (const Entry& entry : parser.entries()) {
    FT_ASSIGN_OR_RETURN(const c10::ScalarType type, Check(entry, data_bytes));
    types.push_back(type);
    extents.emplace_back((*entry.offsets)[0], (*entry.offsets)[1]);
  }
  std::sort(extents.begin(), extents.end());
  uint64_t covered = 0;
  for (const auto& [begin, end] : extents) {
    if (begin != covered) {
      return absl::InvalidArgumentError("its tensors overlap, or leave a gap, in the file");
    }
    covered = end;
  }
  if (covered != data_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("its tensors end at byte ", covered, " of its data, which has ", data_bytes));
  }

  TensorList tensors;
  for (size_t i = 0; i < parser.entries().size(); ++i) {
    Entry& entry = parser.entries()[i];
    const std::vector<int64_t> shape(entry.shape->begin(), entry.shape->end());
    try {
      at::Tensor tensor = at::empty(shape, types[i]);
      FT_RETURN_IF_ERROR(Annotate(
          file.Read(data_at + (*entry.offsets)[0], tensor.mutable_data_ptr(), tensor.nbytes()),
          Printable(entry.name)));
      if (types[i] == c10::ScalarType::Bool && !IsBools(tensor.const_data_ptr(), tensor.nbytes())) {
        return Bad(entry, "has a bool that is neither 0 nor 1");
      }
      tensors.push_back({std::move(entry.name), std::move(tensor)});
    } catch (const std::exception& e) {
      return Bad(entry, e.what());
    }
  }
  return tensors;
}

class SafetensorsFile : public CheckpointFile {
 public:
  static absl::StatusOr<std::unique_ptr<CheckpointFile>> Open(const InputFile& file) {
    return absl::WrapUnique<CheckpointFile>(new SafetensorsFile(file));
  }

  std::vector<Place> StateDicts() const override { return {Place()}; }

  absl::StatusOr<Value> Read(const Place& place) override {
    FT_ASSIGN_OR_RETURN(const TensorList tensors, ReadTensors(file_));
    Value all = Value::FromTensors(tensors);
    if (place.empty()) return all;
    if (place.size() > 1) return absl::NotFoundError("a tensor has no entries");
    return all.Get(place.front());
  }

 private:
  explicit SafetensorsFile(const InputFile& file) : file_(file) {}

  const InputFile& file_;
};

}  // namespace

const CheckpointFormat kSafetensors = {
    // A file with a truncated header is recognized too. No other format is recognized here: it
    // would need zeros in bytes 4 to 7 (the upper half of the header's length) and a brace after
    // them.
    [](absl::string_view head, uint64_t) {
      if (head.size() <= sizeof(uint64_t) || head[sizeof(uint64_t)] != '{') return false;
      uint64_t header_bytes;
      std::memcpy(&header_bytes, head.data(), sizeof(header_bytes));
      return header_bytes <= kMaxHeaderBytes;
    },
    &SafetensorsFile::Open,
};

}  // namespace finetune
