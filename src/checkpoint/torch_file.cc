#include "src/checkpoint/torch_file.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/materialize.h"
#include "src/checkpoint/pickle.h"
#include "src/checkpoint/zip_archive.h"

namespace finetune {
namespace {

using Item = PickleGraph::Item;
using Kind = PickleGraph::Kind;
using Node = PickleGraph::Node;

// A larger pickle is refused. Most are small, but long histories in a checkpoint's meta data may
// take megabytes.
constexpr uint64_t kMaxPickleBytes = uint64_t{1} << 30;

// The magic number 0x1950a86a20f9469cfc6c as little-endian bytes. The first pickle of a legacy file
// contains it.
constexpr absl::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
// In every pickle protocol the magic number ends before this offset.
constexpr size_t kLegacyMagicEnd = 24;

// State dicts are searched in dicts that are nested at most this deep below the root.
constexpr size_t kMaxPlaceDepth = 4;
// The search for state dicts visits at most this many items. The same dict may be contained in
// several, so a small hostile file may have very many paths to it.
constexpr size_t kMaxSearchedItems = size_t{1} << 20;
constexpr size_t kMaxKeyBytes = 256;

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

// A file of either format of torch.save. Open() parses the pickles and finds the storages; a
// storage is read when a tensor needs it.
class TorchFile : public CheckpointFile {
 public:
  static absl::StatusOr<std::unique_ptr<CheckpointFile>> OpenZip(const InputFile& file) {
    return Open(file, &TorchFile::ParseZip);
  }
  static absl::StatusOr<std::unique_ptr<CheckpointFile>> OpenLegacy(const InputFile& file) {
    return Open(file, &TorchFile::ParseLegacy);
  }

  std::vector<Place> StateDicts() const override {
    std::vector<Place> places;
    Place place;
    size_t items = kMaxSearchedItems;
    Search(graph_->root(), &place, &items, &places);
    return places;
  }

  absl::StatusOr<Value> Read(const Place& place) override {
    Item at = graph_->root();
    for (const std::string& key : place) {
      const Item* entry = graph_->Find(at, key);
      if (entry == nullptr) {
        return absl::NotFoundError(absl::StrCat("it has no \"", Printable(key), "\""));
      }
      at = *entry;
    }
    return materializer_->ToValue(at, absl::StrJoin(place, "."));
  }

  bool IsChecked() const override { return !zip_ || zip_->IsChecked(); }

 private:
  explicit TorchFile(const InputFile& file) : file_(file) {}

  static absl::StatusOr<std::unique_ptr<CheckpointFile>> Open(const InputFile& file,
                                                              absl::Status (TorchFile::*parse)()) {
    auto torch_file = absl::WrapUnique(new TorchFile(file));
    FT_RETURN_IF_ERROR((torch_file.get()->*parse)());
    torch_file->materializer_.emplace(
        *torch_file->graph_, [it = torch_file.get()](const StorageRecord& record) {
          return it->zip_ ? it->LoadFromZip(record) : it->LoadFromLegacy(record);
        });
    return std::unique_ptr<CheckpointFile>(std::move(torch_file));
  }

  void Search(const Item& item, Place* place, size_t* items_left,
              std::vector<Place>* places) const {
    const Node* dict = graph_->Get(item, Kind::kDict);
    if (dict == nullptr || place->size() > kMaxPlaceDepth) return;
    const size_t items = dict->items.size();
    if (items > *items_left) return;
    *items_left -= items;
    if (std::any_of(dict->items.begin(), dict->items.end(),
                    [this](const Item& one) { return IsTensorWithDimensions(one); })) {
      places->push_back(*place);
    }
    for (size_t i = 0; i < items; i += 2) {
      const Node* key = graph_->Get(dict->items[i], Kind::kString);
      if (key == nullptr || key->text.size() > kMaxKeyBytes ||
          absl::StartsWith(key->text, "optim")) {
        continue;
      }
      place->emplace_back(key->text);
      Search(dict->items[i + 1], place, items_left, places);
      place->pop_back();
    }
  }

  // Returns whether an item is a tensor with at least one dimension. A tensor without dimensions is
  // a single number (such as a count or a temperature) and does not make a dict a state dict.
  bool IsTensorWithDimensions(const Item& item) const {
    const Node* tensor = graph_->Get(item, Kind::kTensor);
    const Node* sizes = tensor == nullptr ? nullptr : graph_->Get(tensor->items[2], Kind::kList);
    return sizes != nullptr && !sizes->items.empty();
  }

  absl::Status ParseZip() {
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

  // Parses a legacy file. The lengths of its pickles are not known, so the first MiB of the file is
  // read, then twice as much and so on, until the pickles are complete.
  absl::Status ParseLegacy() {
    const uint64_t most = std::min(file_.size(), kMaxPickleBytes);
    for (uint64_t bytes = std::min<uint64_t>(most, 1 << 20);; bytes = std::min(most, 2 * bytes)) {
      FT_ASSIGN_OR_RETURN(pickle_, file_.Read(0, bytes));
      absl::Status status = ParseLegacyHead();
      if (status.ok()) return ScanLegacyStorages();
      if (!absl::IsOutOfRange(status) || bytes == most) return status;
    }
  }

  // Parses the five pickles of a legacy file: the magic number, the version of the format,
  // properties of the machine, the saved object, and the keys of the storages in the file's order.
  absl::Status ParseLegacyHead() {
    absl::string_view rest = pickle_;
    const auto next = [&rest]() -> absl::StatusOr<PickleGraph> {
      FT_ASSIGN_OR_RETURN(PickleGraph graph, PickleGraph::Parse(rest));
      rest.remove_prefix(graph.size());
      return graph;
    };
    FT_RETURN_IF_ERROR(next().status());
    FT_ASSIGN_OR_RETURN(const PickleGraph protocol, next());
    const int64_t* version = std::get_if<int64_t>(&protocol.root());
    if (version == nullptr || *version != 1001) {
      return Bad("its legacy format's version is not 1001");
    }
    FT_RETURN_IF_ERROR(next().status());
    FT_ASSIGN_OR_RETURN(PickleGraph object, next());
    FT_ASSIGN_OR_RETURN(const PickleGraph keys, next());
    const Node* list = keys.Get(keys.root(), Kind::kList);
    if (list == nullptr) return Bad("its list of storages is not a list");
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

  // Finds the file offset of each storage of a legacy file. After the pickles come the storages in
  // the order of their keys: each has its number of elements in 8 bytes, then the elements.
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
  // The texts of `graph_` and of `legacy_keys_` point into `pickle_`.
  std::optional<PickleGraph> graph_;
  // Set only for a ZIP file. folder_: the name before the first slash of its entries' names.
  std::optional<ZipArchive> zip_;
  std::string folder_;
  // Set only for a legacy file. storages_at_: the file offset of the first storage.
  std::vector<absl::string_view> legacy_keys_;
  absl::flat_hash_map<absl::string_view, uint64_t> legacy_offsets_;
  uint64_t storages_at_ = 0;
  std::optional<Materializer> materializer_;
};

}  // namespace

const CheckpointFormat kTorchZip = {
    [](absl::string_view head, uint64_t) {
      return absl::StartsWith(head, "PK\x03\x04") || absl::StartsWith(head, "PK\x05\x06");
    },
    &TorchFile::OpenZip,
};

const CheckpointFormat kTorchLegacy = {
    [](absl::string_view head, uint64_t) {
      return absl::StartsWith(head, "\x80") &&
             absl::StrContains(head.substr(0, kLegacyMagicEnd), kLegacyMagic);
    },
    &TorchFile::OpenLegacy,
};

}  // namespace finetune
