#include "src/checkpoint/safetensors.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/sha256.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/materialize.h"
#include "src/checkpoint/own_metadata.h"
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
  TextEntries& metadata() { return metadata_; }
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
      if (in_metadata_ && !metadata_names_.insert(name).second) {
        return Fail("an entry of __metadata__ is there twice", name);
      }
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
    if (depth_ == 2 && in_metadata_) {
      metadata_.emplace_back(field_, text);
      return true;
    }
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
  TextEntries metadata_;
  absl::flat_hash_set<std::string> metadata_names_;
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

// A file's header, checked against the file's size.
struct Header {
  std::vector<Entry> entries;
  std::vector<c10::ScalarType> types;  // one for each entry
  TextEntries metadata;
  uint64_t data_at = 0;  // the byte of the file at which the tensors' data begin
};

absl::StatusOr<Header> ReadHeader(const InputFile& file) {
  uint64_t header_bytes = 0;
  FT_RETURN_IF_ERROR(file.Read(0, &header_bytes, sizeof(header_bytes)));
  if (header_bytes > file.size() - sizeof(header_bytes)) {
    return absl::DataLossError("it is cut off: the safetensors header is not whole");
  }
  Header header;
  header.data_at = sizeof(header_bytes) + header_bytes;
  const uint64_t data_bytes = file.size() - header.data_at;
  FT_ASSIGN_OR_RETURN(const std::string text, file.Read(sizeof(header_bytes), header_bytes));

  HeaderParser parser;
  if (!nlohmann::json::sax_parse(text, &parser)) {
    return absl::InvalidArgumentError(
        absl::StrCat("its safetensors header is wrong: ", parser.error()));
  }
  header.entries = std::move(parser.entries());
  header.metadata = std::move(parser.metadata());
  std::vector<std::pair<uint64_t, uint64_t>> extents;
  for (const Entry& entry : header.entries) {
    FT_ASSIGN_OR_RETURN(const c10::ScalarType type, Check(entry, data_bytes));
    header.types.push_back(type);
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
  return header;
}

// Reads the tensor of entry `i`.
absl::StatusOr<at::Tensor> ReadTensor(const InputFile& file, const Header& header, size_t i) {
  const Entry& entry = header.entries[i];
  const std::vector<int64_t> shape(entry.shape->begin(), entry.shape->end());
  try {
    at::Tensor tensor = at::empty(shape, header.types[i]);
    FT_RETURN_IF_ERROR(Annotate(
        file.Read(header.data_at + (*entry.offsets)[0], tensor.mutable_data_ptr(), tensor.nbytes()),
        Printable(entry.name)));
    if (header.types[i] == c10::ScalarType::Bool &&
        !IsBools(tensor.const_data_ptr(), tensor.nbytes())) {
      return Bad(entry, "has a bool that is neither 0 nor 1");
    }
    return tensor;
  } catch (const std::exception& e) {
    return Bad(entry, e.what());
  }
}

// Checks the tensors of a file that finetune wrote against the sum in its metadata, where it has
// one. Errors: DataLoss.
absl::Status CheckSum(const Header& header, const TensorList& tensors) {
  const auto sum = std::find_if(header.metadata.begin(), header.metadata.end(),
                                [](const auto& entry) { return entry.first == "tensors_sha256"; });
  if (sum == header.metadata.end()) return absl::OkStatus();
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return *header.entries[a].offsets < *header.entries[b].offsets;
  });
  Sha256 digest;
  for (const size_t i : order) {
    const at::Tensor& tensor = tensors[i].tensor;
    digest.Update({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()});
  }
  const std::string found = digest.HexDigest();
  if (found == sum->second) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "the SHA-256 of its tensors is ", found, ", and the entry \"tensors_sha256\" of its ",
      "__metadata__ says ", Printable(sum->second),
      ": the file is damaged, or its tensors were changed. Export it again"));
}

// In a file that finetune wrote, the root dict is that of a .pth: "meta", made of the file's
// metadata, and "state_dict". In any other file the root dict is the state dict.
class SafetensorsFile : public CheckpointFile {
 public:
  static absl::StatusOr<std::unique_ptr<CheckpointFile>> Open(const InputFile& file) {
    FT_ASSIGN_OR_RETURN(Header header, ReadHeader(file));
    FT_ASSIGN_OR_RETURN(std::optional<Value> meta, EntriesToMeta(header.metadata));
    return absl::WrapUnique<CheckpointFile>(
        new SafetensorsFile(file, std::move(header), std::move(meta)));
  }

  std::vector<Place> StateDicts() const override {
    return {meta_.has_value() ? Place{kStateDict} : Place()};
  }

  absl::StatusOr<Value> Read(const Place& place) override {
    if (!meta_.has_value()) return ReadTensors(place);
    if (place.empty()) {
      FT_ASSIGN_OR_RETURN(Value state, ReadTensors({}));
      Value::Dict root;
      root.Append("meta", *meta_);
      root.Append(kStateDict, std::move(state));
      return Value(std::move(root));
    }
    if (place == Place{"meta"}) return *meta_;
    if (place.front() == kStateDict) return ReadTensors({place.begin() + 1, place.end()});
    return absl::NotFoundError(absl::StrCat("there is no \"", place.front(), "\""));
  }

 private:
  static constexpr char kStateDict[] = "state_dict";

  SafetensorsFile(const InputFile& file, Header header, std::optional<Value> meta)
      : file_(file), header_(std::move(header)), meta_(std::move(meta)) {}

  // Reads the state dict, or the tensor that `place` names.
  absl::StatusOr<Value> ReadTensors(const Place& place) const {
    if (place.size() > 1) return absl::NotFoundError("a tensor has no entries");
    TensorList tensors;
    for (size_t i = 0; i < header_.entries.size(); ++i) {
      const std::string& name = header_.entries[i].name;
      if (!place.empty() && name != place.front()) continue;
      FT_ASSIGN_OR_RETURN(at::Tensor tensor, ReadTensor(file_, header_, i));
      if (!place.empty()) return Value(std::move(tensor));
      tensors.push_back({name, std::move(tensor)});
    }
    if (!place.empty()) {
      return absl::NotFoundError(absl::StrCat("there is no \"", place.front(), "\""));
    }
    if (meta_.has_value()) FT_RETURN_IF_ERROR(CheckSum(header_, tensors));
    return Value::FromTensors(tensors);
  }

  const InputFile& file_;
  const Header header_;
  // The "meta" dict of a file that finetune wrote.
  const std::optional<Value> meta_;
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
