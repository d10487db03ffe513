#include "src/checkpoint/reader.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "src/base/annotate.h"
#include "src/base/status_macros.h"
#include "src/checkpoint/find_state_dict.h"
#include "src/checkpoint/format.h"
#include "src/checkpoint/input_file.h"
#include "src/checkpoint/safetensors.h"
#include "src/checkpoint/torch_file.h"

namespace finetune {
namespace {

constexpr const CheckpointFormat* kFormats[] = {&kSafetensors, &kTorchZip, &kTorchLegacy};

constexpr absl::string_view kDcpAdvice =
    "make one file of it with Python's torch.distributed.checkpoint.format_utils.dcp_to_torch_save";

absl::Status Bad(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Returns the error for a file of an unknown format, with advice for files that users give by
// mistake.
absl::Status Unknown(absl::string_view head) {
  if (head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
    if (absl::StrContains(head, "torch.distributed.checkpoint")) {
      return Bad(absl::StrCat("it is the list of contents of a torch.distributed.checkpoint; ",
                              kDcpAdvice));
    }
    return Bad("it is a plain Python pickle and not a file of torch.save");
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
  if (absl::StartsWith(text, "{")) {
    return Bad("it is a JSON file and not a checkpoint; give the file that holds the weights");
  }
  return Bad(
      "it is not a checkpoint; expected a .pth of torch.save or a safetensors file, whatever its "
      "name");
}

absl::StatusOr<std::unique_ptr<CheckpointFile>> OpenCheckpoint(const InputFile& file) {
  if (file.size() == 0) {
    return Bad("it is empty; expected a .pth of torch.save or a safetensors file");
  }
  FT_ASSIGN_OR_RETURN(const std::string head, file.Read(0, std::min<uint64_t>(file.size(), 512)));
  for (const CheckpointFormat* format : kFormats) {
    if (format->recognizes(head, file.size())) return format->open(file);
  }
  return Unknown(head);
}

// Returns the end of the error for a folder. It names the file to give instead, if the folder's
// content shows which one that is.
std::string AdviceForFolder(const std::string& path) {
  std::error_code error;
  bool is_distributed = false;
  for (const auto& entry : std::filesystem::directory_iterator(path, error)) {
    const std::string name = entry.path().filename().string();
    if (name == "model.safetensors" || name == "pytorch_model.bin") {
      return absl::StrCat("; give the file in it, ", path, "/", name);
    }
    is_distributed = is_distributed || absl::EndsWith(name, ".distcp");
  }
  return is_distributed ? absl::StrCat(" of torch.distributed.checkpoint; ", kDcpAdvice)
                        : "; expected a file";
}

// Opens the checkpoint `path` and returns read(file). Adds the file's name to errors, and makes
// OutOfRange (a truncated file) DataLoss.
template <typename T>
absl::StatusOr<T> ReadFrom(const std::string& path,
                           absl::FunctionRef<absl::StatusOr<T>(CheckpointFile*)> read) {
  const absl::StatusOr<InputFile> file = InputFile::Open(path);
  if (std::error_code error; !file.ok() && std::filesystem::is_directory(path, error)) {
    return absl::Status(file.status().code(),
                        absl::StrCat(file.status().message(), AdviceForFolder(path)));
  }
  FT_RETURN_IF_ERROR(file.status());
  absl::StatusOr<std::unique_ptr<CheckpointFile>> open = OpenCheckpoint(*file);
  absl::StatusOr<T> result = open.ok() ? read(open->get()) : open.status();
  if (result.ok()) return result;
  std::string message(result.status().message());
  if (absl::IsOutOfRange(result.status()) && !absl::StrContains(message, "cut off")) {
    message = absl::StrCat("it is cut off: ", message);
  }
  if (absl::EndsWith(path, ".distcp")) {
    absl::StrAppend(&message, ". It is a part of a torch.distributed.checkpoint; ", kDcpAdvice);
  }
  return absl::Status(
      absl::IsOutOfRange(result.status()) ? absl::StatusCode::kDataLoss : result.status().code(),
      absl::StrCat(path, ": ", message));
}

bool IsExtraState(absl::string_view name) {
  return name == "_extra_state" || absl::EndsWith(name, "._extra_state");
}

// Returns advice on how to save a tensor of the Python class `type` as a plain tensor; "" if there
// is none.
std::string AdviceForClass(absl::string_view type) {
  if (absl::StrContains(type, "sparse")) return "; save the tensor's to_dense()";
  if (absl::StartsWith(type, "torchao.")) return "; save the tensor's dequantize()";
  if (absl::StrContains(type, "_rebuild_qtensor")) return "; save the tensor's dequantize()";
  if (absl::StrContains(type, "ShardedTensor") || absl::StrContains(type, "DTensor")) {
    return "; it is one rank's part of a tensor: save the whole with Python's "
           "torch.distributed.checkpoint.state_dict and full_state_dict=True";
  }
  return "";
}

std::string Describe(const Value& value) {
  if (value.opaque() == nullptr) return absl::StrCat("a value of type ", value.TypeName());
  return absl::StrCat("an object of the Python class or function \"", value.TypeName(),
                      "\", which finetune does not know and never runs",
                      AdviceForClass(value.TypeName()));
}

// Returns the entry in which training programs store weights (kUsualKeys, also nested), or `root`
// if there is none.
Value Unwrapped(const Value& root) {
  Value at = root;
  for (const absl::string_view key : kUsualKeys) {
    absl::StatusOr<Value> inner = at.Get(key);
    if (inner.ok() && (inner->dict() != nullptr || inner->opaque() != nullptr)) {
      at = *std::move(inner);
    }
  }
  return at;
}

// Returns the error for a file without a state dict. `root`: its content.
absl::Status NoStateDict(const Value& root) {
  FT_RETURN_IF_ERROR(CheckPlain(root));
  const Value at = Unwrapped(root);
  if (at.dict() == nullptr) {
    return Bad(absl::StrCat("expected a state dict, found ", Describe(at)));
  }
  const auto& entries = at.dict()->entries();
  std::string keys;
  for (size_t i = 0; i < std::min<size_t>(entries.size(), 8); ++i) {
    const std::string* key = entries[i].first.string();
    absl::StrAppend(&keys, i == 0 ? "" : ", ", key == nullptr ? "?" : Printable(*key), " (",
                    entries[i].second.TypeName(), ")");
  }
  std::string advice;
  for (const auto& [key, value] : entries) {
    if (value.opaque() == nullptr || !advice.empty()) continue;
    advice = AdviceForClass(value.TypeName());
  }
  return Bad(absl::StrCat("expected a state dict, which has tensors by name; found only ",
                          entries.size(), " entries: ", keys, advice));
}

// Returns a tensor's name without the prefixes that DistributedDataParallel and torch.compile add.
absl::string_view OwnName(absl::string_view name) {
  while (absl::ConsumePrefix(&name, "module.") || absl::ConsumePrefix(&name, "_orig_mod.")) {
  }
  return name;
}

absl::StatusOr<StateDict> TensorsOf(const Value& value) {
  StateDict state;
  absl::flat_hash_set<std::string> names;
  for (const auto& [key, entry] : value.dict()->entries()) {
    if (key.string() == nullptr) {
      return Bad(absl::StrCat("a name in its state dict is ", Describe(key), ", expected a str"));
    }
    if (entry.tensor() == nullptr && IsExtraState(*key.string())) continue;
    std::string name(OwnName(*key.string()));
    if (!names.insert(name).second) {
      return Bad(absl::StrCat("\"", Printable(name), "\" is there with and without \"module.\""));
    }
    if (entry.tensor() != nullptr) {
      state.tensors.push_back({std::move(name), *entry.tensor()});
    } else {
      state.unreadable.push_back({std::move(name), Describe(entry)});
    }
  }
  return state;
}

}  // namespace

absl::StatusOr<Value> ReadTorchFile(const std::string& path, const std::vector<std::string>& keys) {
  return ReadFrom<Value>(path, [&](CheckpointFile* file) -> absl::StatusOr<Value> {
    if (keys.empty()) return file->Read({});
    Value::Dict dict;
    for (const std::string& key : keys) {
      absl::StatusOr<Value> value = file->Read({key});
      if (absl::IsNotFound(value.status())) continue;
      FT_RETURN_IF_ERROR(value.status());
      dict.Append(key, *std::move(value));
    }
    return Value(std::move(dict));
  });
}

absl::StatusOr<Value> ReadMeta(const std::string& path) {
  FT_ASSIGN_OR_RETURN(const Value root, ReadTorchFile(path, {"meta"}));
  return root.Get("meta").value_or(Value());
}

absl::Status CheckPlain(const Value& root) {
  const Value at = Unwrapped(root);
  if (at.opaque() == nullptr) return absl::OkStatus();
  return Bad(absl::StrCat("expected a state dict, found ", Describe(at),
                          "; save model.state_dict() and not the model"));
}

absl::StatusOr<StateDict> ReadStateDict(const std::string& path, const std::string& key,
                                        WeightsChoice choice) {
  return ReadFrom<StateDict>(path, [&](CheckpointFile* file) -> absl::StatusOr<StateDict> {
    const std::vector<Place> places = file->StateDicts();
    if (places.empty()) {
      FT_ASSIGN_OR_RETURN(const Value root, file->Read({}));
      return NoStateDict(root);
    }
    FT_ASSIGN_OR_RETURN(const FoundStateDict found, FindStateDict(places, key, choice));
    const absl::StatusOr<Value> value = file->Read(found.place);
    FT_RETURN_IF_ERROR(value.status());
    FT_ASSIGN_OR_RETURN(StateDict state, TensorsOf(*value));
    if (!found.note.empty()) state.notes.push_back(found.note);
    if (!file->IsChecked()) {
      state.notes.emplace_back(
          "the file was written without checksums (torch.serialization.set_crc32_options(False)), "
          "so damage to it cannot be found");
    }
    return state;
  });
}

}  // namespace finetune
