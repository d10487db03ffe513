#include "src/checkpoint/reader.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/input_file.h"
#include "src/checkpoint/materialize.h"
#include "src/checkpoint/pickle.h"
#include "src/checkpoint/safetensors.h"
#include "src/checkpoint/zip_archive.h"

namespace finetune {
namespace {

using Item = PickleGraph::Item;
using Kind = PickleGraph::Kind;
using Node = PickleGraph::Node;

// The pickle of a checkpoint is small; one with long histories in its meta data may take megabytes.
constexpr uint64_t kMaxPickleBytes = uint64_t{1} << 30;

// 0x1950a86a20f9469cfc6c, which opens a legacy file.
constexpr absl::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

enum class Format { kZip, kPickle, kSafetensors };

absl::StatusOr<Format> Detect(const InputFile& file) {
  if (file.size() == 0) return Bad("it is empty");
  FT_ASSIGN_OR_RETURN(const std::string head, file.Read(0, std::min<uint64_t>(file.size(), 512)));
  if (absl::StartsWith(head, "PK\x03\x04") || absl::StartsWith(head, "PK\x05\x06")) {
    return Format::kZip;
  }
  if (head[0] == '\x80') return Format::kPickle;
  if (head.size() > 8 && head[8] == '{') {
    uint64_t header;
    std::memcpy(&header, head.data(), sizeof(header));
    if (header <= file.size() - sizeof(header)) return Format::kSafetensors;
    // A header's length is far below 2^40, so this is one that is cut off.
    if (header < uint64_t{1} << 40) {
      return Bad("it is cut off: the safetensors header is not whole");
    }
  }
  if (head.size() > 262 && head.substr(257, 5) == "ustar") {
    return Bad(
        "it is a tar file, as PyTorch wrote before 0.1.10 or as an archive that holds the "
        "checkpoint; unpack it, or load and save it again with Python's torch");
  }
  if (absl::StartsWith(head, "version https://git-lfs")) {
    return Bad("it is a Git LFS pointer and not the file itself; run `git lfs pull`");
  }
  const absl::string_view text = absl::StripLeadingAsciiWhitespace(head);
  if (absl::StartsWithIgnoreCase(text, "<!doctype") || absl::StartsWithIgnoreCase(text, "<html") ||
      absl::StartsWith(text, "<?xml")) {
    return Bad("it is a web page and not a checkpoint; the download went wrong");
  }
  return Bad("it is no checkpoint: neither a .pth of torch.save nor a safetensors file");
}

// A .pth: the pickle, and where the storages it speaks of are.
class TorchFile {
 public:
  static absl::StatusOr<std::unique_ptr<TorchFile>> Open(const InputFile& file, Format format) {
    auto torch_file = absl::WrapUnique(new TorchFile(file));
    FT_RETURN_IF_ERROR(format == Format::kZip ? torch_file->OpenZip() : torch_file->OpenLegacy());
    return torch_file;
  }

  const PickleGraph& graph() const { return *graph_; }

  // Valid while this is.
  StorageLoader Loader() {
    return [this](const StorageRecord& record) {
      return zip_ ? LoadFromZip(record) : LoadFromLegacy(record);
    };
  }

 private:
  explicit TorchFile(const InputFile& file) : file_(file) {}

  absl::Status OpenZip() {
    FT_ASSIGN_OR_RETURN(ZipArchive zip, ZipArchive::Open(file_.path(), file_.size()));
    for (const std::string& name : zip.Names()) {
      const size_t slash = name.find('/');
      if (slash == std::string::npos || name.substr(slash) != "/data.pkl") continue;
      if (!folder_.empty()) return Bad("it has more than one data.pkl");
      folder_ = name.substr(0, slash);
    }
    if (folder_.empty()) return Bad("it is a ZIP file without a data.pkl, which torch.save writes");
    if (zip.Has(folder_ + "/constants.pkl")) {
      return Bad(
          "it is a TorchScript program and not a checkpoint; save model.state_dict() with "
          "Python's torch.save instead");
    }
    if (zip.Has(folder_ + "/byteorder")) {
      FT_ASSIGN_OR_RETURN(const uint64_t size, zip.Size(folder_ + "/byteorder"));
      FT_ASSIGN_OR_RETURN(const std::string order,
                          size < 16 ? zip.Read(folder_ + "/byteorder") : std::string("unknown"));
      if (order != "little") {
        return Bad(
            "it was written on a big-endian machine; load and save it again with Python's "
            "torch on a little-endian one");
      }
    }
    FT_ASSIGN_OR_RETURN(const uint64_t pickle_size, zip.Size(folder_ + "/data.pkl"));
    if (pickle_size > kMaxPickleBytes) return Bad("its pickle is larger than 1 GiB");
    FT_ASSIGN_OR_RETURN(pickle_, zip.Read(folder_ + "/data.pkl"));
    FT_ASSIGN_OR_RETURN(PickleGraph graph, PickleGraph::Parse(pickle_));
    graph_.emplace(std::move(graph));
    zip_.emplace(std::move(zip));
    return absl::OkStatus();
  }

  absl::StatusOr<c10::Storage> LoadFromZip(const StorageRecord& record) {
    const std::string name = absl::StrCat(folder_, "/data/", record.key);
    FT_ASSIGN_OR_RETURN(const uint64_t size, zip_->Size(name));
    if (size != record.bytes) {
      return Bad(absl::StrCat("its entry \"", Printable(name), "\" has ", size,
                              " bytes, its pickle expects ", record.bytes));
    }
    FT_ASSIGN_OR_RETURN(c10::Storage storage, AllocateStorage(size));
    FT_RETURN_IF_ERROR(zip_->Read(name, storage.mutable_data(), size));
    return storage;
  }

  // The pickles are of unknown length: more of the file is read until they end.
  absl::Status OpenLegacy() {
    const uint64_t most = std::min(file_.size(), kMaxPickleBytes);
    for (uint64_t bytes = std::min<uint64_t>(most, 1 << 20);; bytes = std::min(most, 2 * bytes)) {
      FT_ASSIGN_OR_RETURN(pickle_, file_.Read(0, bytes));
      absl::Status status = ParseLegacyHead();
      if (status.ok()) return ScanLegacyStorages();
      if (!absl::IsOutOfRange(status) || bytes == most) return status;
    }
  }

  // Magic number, protocol, the machine, the object, the storages' keys.
  absl::Status ParseLegacyHead() {
    absl::string_view rest = pickle_;
    const auto next = [&rest]() -> absl::StatusOr<PickleGraph> {
      FT_ASSIGN_OR_RETURN(PickleGraph graph, PickleGraph::Parse(rest));
      rest.remove_prefix(graph.size());
      return graph;
    };
    const absl::StatusOr<PickleGraph> magic = next();
    const Node* number = magic.ok() ? magic->Get(magic->root(), Kind::kBigInt) : nullptr;
    if (absl::IsOutOfRange(magic.status())) return magic.status();
    if (number == nullptr || number->text != kLegacyMagic) {
      return Bad("it is a plain Python pickle and not a file of torch.save");
    }
    FT_ASSIGN_OR_RETURN(const PickleGraph protocol, next());
    const int64_t* version = std::get_if<int64_t>(&protocol.root());
    if (version == nullptr || *version != 1001) {
      return Bad("its legacy format's version is not 1001");
    }
    FT_RETURN_IF_ERROR(next().status());
    FT_ASSIGN_OR_RETURN(PickleGraph object, next());
    FT_ASSIGN_OR_RETURN(const PickleGraph keys, next());
    const Node* list = keys.Get(keys.root(), Kind::kList);
    if (list == nullptr) return Bad("its list of storages is none");
    legacy_keys_.clear();
    for (const Item& item : list->items) {
      const Node* key = keys.Get(item, Kind::kString);
      if (key == nullptr) return Bad("its list of storages has something other than keys");
      legacy_keys_.push_back(key->text);
    }
    graph_.emplace(std::move(object));
    storages_at_ = pickle_.size() - rest.size();
    return absl::OkStatus();
  }

  // Each storage is its number of elements (8 bytes), then the elements, one after the other.
  absl::Status ScanLegacyStorages() {
    absl::flat_hash_map<absl::string_view, StorageRecord> records;
    for (const Node& node : graph_->nodes()) {
      if (node.kind != Kind::kStorage) continue;
      FT_ASSIGN_OR_RETURN(const StorageRecord record, ParseStorage(*graph_, node));
      const auto [found, is_new] = records.try_emplace(record.key, record);
      if (!is_new && (found->second.bytes != record.bytes || found->second.dtype != record.dtype)) {
        return Bad(absl::StrCat("storage \"", Printable(record.key), "\" has two sizes"));
      }
    }
    uint64_t at = storages_at_;
    for (const absl::string_view key : legacy_keys_) {
      const auto found = records.find(key);
      if (found == records.end()) {
        return Bad(absl::StrCat("storage \"", Printable(key), "\" is of an unknown type"));
      }
      const StorageRecord& record = found->second;
      int64_t numel;
      FT_RETURN_IF_ERROR(CutOff(file_.Read(at, &numel, sizeof(numel))));
      at += sizeof(numel);
      if (numel != record.numel) {
        return Bad(absl::StrCat("storage \"", Printable(key), "\" has ", numel,
                                " elements, its pickle expects ", record.numel));
      }
      if (record.bytes > file_.size() - at) {
        return CutOff(absl::OutOfRangeError(absl::StrCat("storage \"", Printable(key), "\" needs ",
                                                         record.bytes, " bytes at byte ", at)));
      }
      if (!legacy_offsets_.emplace(key, at).second) {
        return Bad(absl::StrCat("storage \"", Printable(key), "\" is there twice"));
      }
      at += record.bytes;
    }
    return absl::OkStatus();
  }

  static absl::Status CutOff(const absl::Status& status) {
    return Annotate(status, "it is cut off");
  }

  absl::StatusOr<c10::Storage> LoadFromLegacy(const StorageRecord& record) {
    const auto found = legacy_offsets_.find(record.key);
    if (found == legacy_offsets_.end()) {
      return Bad(absl::StrCat("storage \"", Printable(record.key), "\" is not in the file"));
    }
    FT_ASSIGN_OR_RETURN(c10::Storage storage, AllocateStorage(record.bytes));
    FT_RETURN_IF_ERROR(file_.Read(found->second, storage.mutable_data(), record.bytes));
    return storage;
  }

  const InputFile& file_;
  std::string pickle_;
  // Its texts, and the keys below, point into pickle_.
  std::optional<PickleGraph> graph_;
  // Only a ZIP file has these.
  std::optional<ZipArchive> zip_;
  std::string folder_;
  // Only a legacy file has these.
  std::vector<absl::string_view> legacy_keys_;
  absl::flat_hash_map<absl::string_view, uint64_t> legacy_offsets_;
  uint64_t storages_at_ = 0;
};

bool IsExtraState(absl::string_view name) {
  return name == "_extra_state" || absl::EndsWith(name, "._extra_state");
}

std::string Describe(const Value& value) {
  if (value.opaque() == nullptr) return absl::StrCat("a value of type ", value.TypeName());
  return absl::StrCat("an object of the Python class or function \"", value.TypeName(),
                      "\", which finetune does not know and never runs");
}

// The keys where a training program puts the state dict beside other things.
constexpr absl::string_view kWrappers[] = {"state_dict", "model", "model_state_dict"};
constexpr int kMaxWrappers = 4;

absl::StatusOr<TensorList> TensorsOf(const Value& state_dict) {
  if (state_dict.opaque() != nullptr) {
    return Bad(absl::StrCat("where a state dict is expected, it has ", Describe(state_dict),
                            "; save model.state_dict() and not the model"));
  }
  if (state_dict.dict() == nullptr) {
    return Bad(absl::StrCat("where a state dict is expected, it has ", Describe(state_dict)));
  }
  const auto& entries = state_dict.dict()->entries();
  const auto is_tensor = [](const Value::Dict::Entry& e) { return e.second.tensor() != nullptr; };
  if (std::none_of(entries.begin(), entries.end(), is_tensor)) {
    std::string keys;
    for (size_t i = 0; i < std::min<size_t>(entries.size(), 8); ++i) {
      const std::string* key = entries[i].first.string();
      absl::StrAppend(&keys, i == 0 ? "" : ", ", key == nullptr ? "?" : Printable(*key), " (",
                      entries[i].second.TypeName(), ")");
    }
    return Bad(
        absl::StrCat("it has no state dict: no tensors, no \"state_dict\", no \"model\"; it "
                     "has ",
                     entries.size(), " entries: ", keys));
  }
  TensorList tensors;
  tensors.reserve(entries.size());
  absl::flat_hash_set<std::string> names;
  for (const auto& [key, value] : entries) {
    if (key.string() == nullptr) {
      return Bad(absl::StrCat("a name in its state dict is ", Describe(key), ", not a str"));
    }
    if (value.tensor() == nullptr) {
      if (IsExtraState(*key.string())) continue;
      return Bad(absl::StrCat("\"", Printable(*key.string()), "\" in its state dict is ",
                              Describe(value), "; a Tensor is expected"));
    }
    const std::string name(absl::StripPrefix(*key.string(), "module."));
    if (!names.insert(name).second) {
      return Bad(absl::StrCat("\"", Printable(name), "\" is there with and without \"module.\""));
    }
    tensors.push_back({name, *value.tensor()});
  }
  return tensors;
}

// Where the state dict is, and its path for messages.
std::pair<Item, std::string> FindStateDict(const PickleGraph& graph) {
  Item at = graph.root();
  std::string path;
  for (int level = 0; level < kMaxWrappers; ++level) {
    const Item* inner = nullptr;
    for (const absl::string_view wrapper : kWrappers) {
      const Item* found = graph.Find(at, wrapper);
      if (found == nullptr || graph.Get(*found, Kind::kTensor) != nullptr) continue;
      inner = found;
      absl::StrAppend(&path, path.empty() ? "" : ".", wrapper);
      break;
    }
    if (inner == nullptr) break;
    at = *inner;
  }
  return {at, path};
}

// Opens the file and calls `read_pth` or `read_safetensors`; their errors get the file's name.
template <typename T>
absl::StatusOr<T> ReadAs(
    const std::string& path,
    absl::FunctionRef<absl::StatusOr<T>(const PickleGraph&, Materializer&)> read_pth,
    absl::FunctionRef<absl::StatusOr<T>(const TensorList&)> read_safetensors) {
  FT_ASSIGN_OR_RETURN(const InputFile file, InputFile::Open(path));
  const auto read = [&]() -> absl::StatusOr<T> {
    FT_ASSIGN_OR_RETURN(const Format format, Detect(file));
    if (format == Format::kSafetensors) {
      FT_ASSIGN_OR_RETURN(const TensorList tensors, ReadSafetensors(file));
      return read_safetensors(tensors);
    }
    FT_ASSIGN_OR_RETURN(const auto torch_file, TorchFile::Open(file, format));
    Materializer materializer(torch_file->graph(), torch_file->Loader());
    return read_pth(torch_file->graph(), materializer);
  };
  absl::StatusOr<T> result = read();
  if (!result.ok()) return Annotate(result.status(), path);
  return result;
}

}  // namespace

absl::StatusOr<Value> ReadTorchFile(const std::string& path, const std::vector<std::string>& keys) {
  return ReadAs<Value>(
      path,
      [&](const PickleGraph& graph, Materializer& materializer) -> absl::StatusOr<Value> {
        if (keys.empty()) return materializer.ToValue(graph.root(), "");
        if (graph.Get(graph.root(), Kind::kDict) == nullptr) return Bad("its root is no dict");
        Value::Dict dict;
        for (const std::string& key : keys) {
          const Item* item = graph.Find(graph.root(), key);
          if (item == nullptr) continue;
          FT_ASSIGN_OR_RETURN(Value value, materializer.ToValue(*item, key));
          dict.Append(key, std::move(value));
        }
        return Value(std::move(dict));
      },
      [&](const TensorList& tensors) -> absl::StatusOr<Value> {
        Value::Dict dict;
        for (const NamedTensor& one : tensors) {
          if (keys.empty() || std::find(keys.begin(), keys.end(), one.name) != keys.end()) {
            dict.Append(one.name, one.tensor);
          }
        }
        return Value(std::move(dict));
      });
}

absl::StatusOr<TensorList> ReadStateDict(const std::string& path) {
  return ReadAs<TensorList>(
      path,
      [](const PickleGraph& graph, Materializer& materializer) -> absl::StatusOr<TensorList> {
        const auto [item, place] = FindStateDict(graph);
        FT_ASSIGN_OR_RETURN(const Value value, materializer.ToValue(item, place));
        return TensorsOf(value);
      },
      [](const TensorList& tensors) { return TensorsOf(Value::FromTensors(tensors)); });
}

absl::StatusOr<TensorList> StateDictOf(const Value& root) {
  Value at = root;
  for (int level = 0; level < kMaxWrappers; ++level) {
    const Value* inner = nullptr;
    for (const absl::string_view wrapper : kWrappers) {
      const Value* found = at.dict() == nullptr ? nullptr : at.dict()->Find(wrapper);
      if (found == nullptr || found->tensor() != nullptr) continue;
      inner = found;
      break;
    }
    if (inner == nullptr) break;
    at = Value(*inner);
  }
  return TensorsOf(at);
}

}  // namespace finetune
