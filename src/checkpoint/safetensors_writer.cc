#include "src/checkpoint/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/sha256.h"
#include "src/base/status_macros.h"
#include "src/base/utf8.h"
#include "src/checkpoint/value.h"

namespace finetune {
namespace {

constexpr char kMetadata[] = "__metadata__";

// The format's name of a type; null where it has none.
const char* TypeName(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Double:
      return "F64";
    case c10::ScalarType::Float:
      return "F32";
    case c10::ScalarType::Half:
      return "F16";
    case c10::ScalarType::BFloat16:
      return "BF16";
    case c10::ScalarType::Long:
      return "I64";
    case c10::ScalarType::Int:
      return "I32";
    case c10::ScalarType::Short:
      return "I16";
    case c10::ScalarType::Char:
      return "I8";
    case c10::ScalarType::Byte:
      return "U8";
    case c10::ScalarType::Bool:
      return "BOOL";
    default:
      return nullptr;
  }
}

absl::Status Check(const TensorList& tensors) {
  std::set<std::string> names = {kMetadata};
  for (const NamedTensor& one : tensors) {
    if (!names.insert(ValidUtf8(one.name)).second) {
      return absl::InvalidArgumentError(absl::StrCat("tensor \"", Printable(one.name),
                                                     "\": expected another name, which no other "
                                                     "entry of the file has"));
    }
    if (TypeName(one.tensor.scalar_type()) == nullptr) {
      return absl::InvalidArgumentError(absl::StrCat(
          "tensor \"", Printable(one.name), "\" has the type ",
          c10::toString(one.tensor.scalar_type()), ", which safetensors does not have"));
    }
  }
  return absl::OkStatus();
}

// The header without its length: padded with blanks to a multiple of 8 bytes, as the format's own
// library does, so that the tensors behind it are aligned.
std::string Header(const TensorList& tensors,
                   const std::vector<std::pair<std::string, std::string>>& metadata,
                   const std::string& digest) {
  nlohmann::ordered_json header;
  for (const auto& [key, value] : metadata) header[kMetadata][key] = ValidUtf8(value);
  header[kMetadata]["tensors_sha256"] = digest;
  uint64_t begin = 0;
  for (const NamedTensor& one : tensors) {
    const uint64_t end = begin + one.tensor.nbytes();
    header[ValidUtf8(one.name)] = {{"dtype", TypeName(one.tensor.scalar_type())},
                                   {"shape", one.tensor.sizes().vec()},
                                   {"data_offsets", {begin, end}}};
    begin = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  return text;
}

// Calls `visit` with the bytes of each tensor.
template <typename Visit>
absl::Status VisitBytes(const TensorList& tensors, const Visit& visit) {
  for (const NamedTensor& one : tensors) {
    const at::Tensor tensor = one.tensor.detach().cpu().contiguous();
    FT_RETURN_IF_ERROR(visit(
        absl::string_view(static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes())));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, const TensorList& tensors,
                              const std::vector<std::pair<std::string, std::string>>& metadata) {
  static_assert(std::endian::native == std::endian::little);
  FT_RETURN_IF_ERROR(Annotate(Check(tensors), absl::StrCat("cannot write ", path)));
  TensorList sorted = tensors;
  std::stable_sort(sorted.begin(), sorted.end(), [](const auto& one, const auto& other) {
    return one.tensor.itemsize() > other.tensor.itemsize();
  });
  Sha256 digest;
  FT_RETURN_IF_ERROR(VisitBytes(sorted, [&](absl::string_view bytes) {
    digest.Update(bytes);
    return absl::OkStatus();
  }));
  const std::string header = Header(sorted, metadata, digest.HexDigest());
  const auto size = static_cast<uint64_t>(header.size());
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::CreateLarge(path));
  FT_RETURN_IF_ERROR(file.Write({reinterpret_cast<const char*>(&size), sizeof(size)}));
  FT_RETURN_IF_ERROR(file.Write(header));
  FT_RETURN_IF_ERROR(
      VisitBytes(sorted, [&](absl::string_view bytes) { return file.Write(bytes); }));
  return file.Commit();
}

}  // namespace finetune
