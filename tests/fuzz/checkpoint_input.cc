#include "tests/fuzz/checkpoint_input.h"

#include <ATen/core/Tensor.h>

#include <string>

#include "src/checkpoint/reader.h"
#include "tests/fuzz/input.h"

namespace finetune {
namespace {

void Touch(const at::Tensor& tensor) {
  if (tensor.numel() == 0) return;
  int64_t last = 0;  // the offset of the last element from the first one
  for (int64_t i = 0; i < tensor.dim(); ++i) last += (tensor.size(i) - 1) * tensor.stride(i);
  const auto element = static_cast<int64_t>(tensor.element_size());
  const auto bytes = static_cast<int64_t>(tensor.storage().nbytes());
  Expect(tensor.storage_offset() >= 0 && last >= 0 &&
             (tensor.storage_offset() + last + 1) * element <= bytes,
         "a tensor lies in its storage");
  const auto* data = static_cast<const volatile char*>(tensor.storage().data());
  (void)data[0];
  (void)data[bytes - 1];
}

void Touch(const Value& value) {
  if (value.tensor() != nullptr) Touch(*value.tensor());
  if (value.list() != nullptr) {
    for (const Value& one : *value.list()) Touch(one);
  }
  if (value.dict() != nullptr) {
    for (const auto& [key, entry] : value.dict()->entries()) Touch(entry);
  }
}

}  // namespace

void ReadCheckpoint(absl::string_view bytes) {
  const std::string path = WriteInput("checkpoint", bytes);
  if (const auto root = ReadTorchFile(path); root.ok()) Touch(*root);
  (void)ReadTorchFile(path, {"meta"});
  if (const auto state = ReadStateDict(path); state.ok()) {
    for (const NamedTensor& one : state->tensors) Touch(one.tensor);
  }
}

}  // namespace finetune
