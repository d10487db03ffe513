#include "src/checkpoint/writer.h"

#include <ATen/ops/empty.h>
#include <caffe2/serialize/inline_container.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <exception>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/status_macros.h"
#include "src/base/utf8.h"

namespace finetune {
namespace {

// Pickles a value in protocol 2, as torch.save does. pickle.cc names the opcodes. It does not use
// the memo, so a string that occurs several times is written several times.
class Pickler {
 public:
  // Pickles `root`. Call it once.
  absl::Status Pickle(const Value& root) {
    bytes_ = "\x80\x02";
    FT_RETURN_IF_ERROR(Write(root));
    bytes_ += '.';
    return absl::OkStatus();
  }

  const std::string& bytes() const { return bytes_; }
  // Returns the tensors whose elements must be written as the storages "0", "1", "2", ...
  const std::vector<at::Tensor>& storages() const { return storages_; }

 private:
  absl::Status Write(const Value& value) {
    if (value.is_none()) {
      bytes_ += 'N';
    } else if (value.boolean() != nullptr) {
      bytes_ += *value.boolean() ? '\x88' : '\x89';
    } else if (value.integer() != nullptr) {
      Int(*value.integer());
    } else if (value.real() != nullptr) {
      bytes_ += 'G';
      Raw(__builtin_bswap64(std::bit_cast<uint64_t>(*value.real())));
    } else if (value.string() != nullptr) {
      return Text(*value.string());
    } else if (value.tensor() != nullptr) {
      return Tensor(*value.tensor());
    } else if (value.list() != nullptr) {
      return List(*value.list());
    } else if (value.dict() != nullptr) {
      return Dict(*value.dict());
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat("a value of type ", value.TypeName(), " cannot be written"));
    }
    return absl::OkStatus();
  }

  template <typename T>
  void Raw(T value) {
    static_assert(std::endian::native == std::endian::little);
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  void Int(int64_t n) {
    if (n == static_cast<int32_t>(n)) {
      bytes_ += 'J';
      Raw(static_cast<int32_t>(n));
    } else {
      bytes_ += "\x8a\x08";
      Raw(n);
    }
  }

  absl::Status Text(absl::string_view text) {
    const std::string valid = ValidUtf8(text);
    if (valid.size() > UINT32_MAX) return absl::InvalidArgumentError("a string is too long");
    bytes_ += 'X';
    Raw(static_cast<uint32_t>(valid.size()));
    bytes_ += valid;
    return absl::OkStatus();
  }

  void Ints(at::IntArrayRef values) {
    bytes_ += '(';
    for (const int64_t n : values) Int(n);
    bytes_ += 't';
  }

  absl::Status List(const Value::List& list) {
    bytes_ += "](";
    for (size_t i = 0; i < list.size(); ++i) {
      FT_RETURN_IF_ERROR(Annotate(Write(list[i]), absl::StrCat(i)));
    }
    bytes_ += 'e';
    return absl::OkStatus();
  }

  absl::Status Dict(const Value::Dict& dict) {
    const auto& entries = dict.entries();
    const bool ordered =
        !entries.empty() && std::all_of(entries.begin(), entries.end(), [](const auto& entry) {
          return entry.second.tensor() != nullptr;
        });
    bytes_ += ordered ? "ccollections\nOrderedDict\n)R(" : "}(";
    for (const auto& [key, value] : entries) {
      if (key.string() == nullptr && key.integer() == nullptr) {
        return absl::InvalidArgumentError(
            absl::StrCat("a dict's key is a ", key.TypeName(), ", expected str or int"));
      }
      FT_RETURN_IF_ERROR(Write(key));
      FT_RETURN_IF_ERROR(Annotate(
          Write(value), key.string() != nullptr ? *key.string() : absl::StrCat(*key.integer())));
    }
    bytes_ += 'u';
    return absl::OkStatus();
  }

  // Writes a tensor as the call torch._utils._rebuild_tensor_v2(storage, 0, size, stride, False,
  // OrderedDict()).
  absl::Status Tensor(const at::Tensor& tensor) {
    const absl::string_view storage_class = StorageClass(tensor.scalar_type());
    if (storage_class.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a tensor of type ", c10::toString(tensor.scalar_type()), " cannot be written"));
    }
    bytes_ += "ctorch._utils\n_rebuild_tensor_v2\n((";
    FT_RETURN_IF_ERROR(Text("storage"));
    absl::StrAppend(&bytes_, "ctorch\n", storage_class, "\n");
    FT_RETURN_IF_ERROR(Text(absl::StrCat(StorageOf(tensor))));
    FT_RETURN_IF_ERROR(Text("cpu"));
    Int(tensor.numel());
    bytes_ += "tQ";
    Int(0);
    Ints(tensor.sizes());
    std::vector<int64_t> strides(tensor.dim());
    int64_t stride = 1;
    for (int64_t i = tensor.dim(); i-- > 0;) {
      strides[i] = stride;
      stride *= std::max<int64_t>(tensor.size(i), 1);
    }
    Ints(strides);
    bytes_ +=
        "\x89"
        "ccollections\nOrderedDict\n)RtR";
    return absl::OkStatus();
  }

  size_t StorageOf(const at::Tensor& tensor) {
    if (tensor.numel() > 0 && tensor.is_contiguous()) {
      const auto [found, is_new] = indices_.try_emplace(
          std::tuple(tensor.const_data_ptr(), tensor.nbytes(), tensor.scalar_type()),
          storages_.size());
      if (!is_new) return found->second;
    }
    storages_.push_back(tensor);
    return storages_.size() - 1;
  }

  static absl::string_view StorageClass(c10::ScalarType type) {
    switch (type) {
      case c10::ScalarType::Float:
        return "FloatStorage";
      case c10::ScalarType::Double:
        return "DoubleStorage";
      case c10::ScalarType::Half:
        return "HalfStorage";
      case c10::ScalarType::BFloat16:
        return "BFloat16Storage";
      case c10::ScalarType::Long:
        return "LongStorage";
      case c10::ScalarType::Int:
        return "IntStorage";
      case c10::ScalarType::Short:
        return "ShortStorage";
      case c10::ScalarType::Char:
        return "CharStorage";
      case c10::ScalarType::Byte:
        return "ByteStorage";
      case c10::ScalarType::Bool:
        return "BoolStorage";
      default:
        return "";
    }
  }

  std::string bytes_;
  std::vector<at::Tensor> storages_;
  std::map<std::tuple<const void*, size_t, c10::ScalarType>, size_t> indices_;
};

uint64_t Aligned(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

// The copies of a value's tensors. A tensor that the value has twice, as a frozen weight in
// state_dict and in state_dict_ema, is copied once and so written once.
using Copies = std::map<const at::TensorImpl*, at::Tensor>;

// Returns the bytes that the copies of a value's tensors take. `seen`: the tensors that are counted
// already, without copies.
uint64_t TensorBytes(const Value& value, Copies& seen) {
  uint64_t bytes = 0;
  if (value.tensor() != nullptr && seen.try_emplace(value.tensor()->unsafeGetTensorImpl()).second) {
    bytes += Aligned(value.tensor()->nbytes());
  }
  if (value.list() != nullptr) {
    for (const Value& one : *value.list()) bytes += TensorBytes(one, seen);
  }
  if (value.dict() != nullptr) {
    for (const auto& [key, one] : value.dict()->entries()) bytes += TensorBytes(one, seen);
  }
  return bytes;
}

// Returns `value` with its tensors copied into `memory`, from byte `at` on. Advances `at` past
// them. Adds the copies to `copies`.
Value CopyInto(const Value& value, const at::Tensor& memory, int64_t& at, Copies& copies) {
  if (const at::Tensor* tensor = value.tensor()) {
    const auto [found, is_new] = copies.try_emplace(tensor->unsafeGetTensorImpl());
    if (!is_new) return found->second;
    at::Tensor copy = at::empty({0}, tensor->options().device(c10::kCPU).requires_grad(false));
    copy.set_(memory.storage(), at / static_cast<int64_t>(tensor->itemsize()), tensor->sizes());
    copy.copy_(tensor->detach());
    at += static_cast<int64_t>(Aligned(tensor->nbytes()));
    found->second = copy;
    return copy;
  }
  if (value.list() != nullptr) {
    Value::List list;
    for (const Value& one : *value.list()) list.push_back(CopyInto(one, memory, at, copies));
    return list;
  }
  if (value.dict() != nullptr) {
    Value::Dict dict;
    for (const auto& [key, one] : value.dict()->entries()) {
      dict.Append(key, CopyInto(one, memory, at, copies));
    }
    return dict;
  }
  return value;
}

}  // namespace

absl::Status WriteTorchFile(const std::string& path, const Value& root) {
  Pickler pickler;
  FT_RETURN_IF_ERROR(Annotate(pickler.Pickle(root), absl::StrCat("cannot write ", path)));
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::CreateLarge(path));
  absl::Status written;
  try {
    // PyTorchStreamWriter completes the archive in its destructor, where an error of the callback
    // would end the process. So the callback always reports success and keeps the first error in
    // `written`.
    caffe2::serialize::PyTorchStreamWriter archive([&](const void* bytes, size_t n) {
      if (written.ok()) written = file.Write({static_cast<const char*>(bytes), n});
      return n;
    });
    archive.writeRecord("data.pkl", pickler.bytes().data(), pickler.bytes().size());
    archive.writeRecord("byteorder", "little", 6);
    for (size_t i = 0; i < pickler.storages().size() && written.ok(); ++i) {
      const at::Tensor tensor = pickler.storages()[i].detach().cpu().contiguous();
      archive.writeRecord(absl::StrCat("data/", i), tensor.const_data_ptr(), tensor.nbytes());
    }
    archive.writeEndOfFile();
  } catch (const std::exception& e) {
    return absl::InternalError(absl::StrCat("cannot write ", path, ": ", e.what()));
  }
  FT_RETURN_IF_ERROR(written);
  return file.Commit();
}

Value Snapshotter::Take(const Value& value) {
  Copies seen, copies;
  const auto bytes = static_cast<int64_t>(TensorBytes(value, seen));
  if (!memory_.defined() || memory_.storage().use_count() > 1 || memory_.numel() < bytes) {
    memory_ = at::empty({bytes}, c10::kByte);
  }
  int64_t at = 0;
  return CopyInto(value, memory_, at, copies);
}

}  // namespace finetune
