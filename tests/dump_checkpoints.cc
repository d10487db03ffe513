// dump_checkpoints < PATHS: reads the checkpoints whose paths stand on the lines of the input, and
// prints a line of JSON for each, so that scripts can compare it with what other programs read:
//   {"error": MESSAGE} if the checkpoint cannot be read, or
//   {"values": [[PLACE, VALUE], ...]}. A tensor's VALUE is [TYPE, SIZES, STRIDES, OFFSET, STORAGE,
//   SHA-256 of the elements in the order of their indices]. STORAGE is a number that tensors with
//   the same storage share, counted in the order of the file's tensors, and -1 for an empty
//   storage.
#include <c10/core/ScalarType.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/sha256.h"
#include "src/checkpoint/reader.h"

namespace finetune {
namespace {

using Json = nlohmann::json;

class Dump {
 public:
  void Add(const std::string& place, const Value& value) {
    if (value.dict() != nullptr) {
      values_.push_back({place, "dict"});
      for (const auto& [key, entry] : value.dict()->entries()) {
        Add(absl::StrCat(place, "/", Plain(key).dump()), entry);
      }
    } else if (value.list() != nullptr) {
      values_.push_back({place, "list"});
      for (size_t i = 0; i < value.list()->size(); ++i) {
        Add(absl::StrCat(place, "/", i), (*value.list())[i]);
      }
    } else if (value.tensor() != nullptr) {
      values_.push_back({place, OfTensor(*value.tensor())});
    } else {
      values_.push_back({place, Plain(value)});
    }
  }

  const Json& values() const { return values_; }

 private:
  static Json Plain(const Value& value) {
    if (value.boolean() != nullptr) return *value.boolean();
    if (value.integer() != nullptr) return *value.integer();
    if (value.real() != nullptr)
      return absl::StrCat("float ", absl::Hex(std::bit_cast<uint64_t>(*value.real())));
    if (value.string() != nullptr)
      return absl::StrCat("str ", absl::BytesToHexString(*value.string()));
    if (value.bytes() != nullptr) {
      return absl::StrCat("bytes ", absl::BytesToHexString(value.bytes()->bytes));
    }
    return value.is_none() ? Json() : Json(absl::StrCat("opaque ", value.TypeName()));
  }

  Json OfTensor(const at::Tensor& tensor) {
    const at::Tensor whole = tensor.contiguous();
    Sha256 sum;
    sum.Update({static_cast<const char*>(whole.const_data_ptr()), whole.nbytes()});
    int64_t storage = -1;
    if (tensor.storage().nbytes() > 0) {
      storage = storages_.emplace(tensor.storage().data(), storages_.size()).first->second;
    }
    return {c10::toString(tensor.scalar_type()),
            tensor.sizes().vec(),
            tensor.strides().vec(),
            tensor.storage_offset(),
            storage,
            sum.HexDigest()};
  }

  Json values_ = Json::array();
  std::map<const void*, int64_t> storages_;
};

}  // namespace
}  // namespace finetune

int main() {
  for (std::string path; std::getline(std::cin, path);) {
    const auto root = finetune::ReadTorchFile(path);
    nlohmann::json line;
    if (root.ok()) {
      finetune::Dump dump;
      dump.Add("", *root);
      line["values"] = dump.values();
    } else {
      line["error"] = std::string(root.status().message());
    }
    const std::string text =
        line.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
    std::printf("%s\n", text.c_str());
  }
  return 0;
}
