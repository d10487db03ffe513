#include "src/model/transformers_names.h"

#include <cstdint>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"

namespace finetune {
namespace {

// "convolution.weight" or "normalization.bias", below one of two names.
std::string Layer(absl::Span<const absl::string_view> parts, absl::string_view convolution,
                  absl::string_view normalization) {
  if (parts.size() != 2) return "";
  if (parts[0] == "convolution") return absl::StrCat(convolution, ".", parts[1]);
  if (parts[0] == "normalization") return absl::StrCat(normalization, ".", parts[1]);
  return "";
}

// "encoder.stages.S.layers.B.shortcut...." or "encoder.stages.S.layers.B.layer.K....".
std::string Block(absl::Span<const absl::string_view> parts) {
  int32_t stage = 0, block = 0, layer = 0;
  if (parts.size() < 6 || parts[1] != "stages" || !absl::SimpleAtoi(parts[2], &stage) ||
      parts[3] != "layers" || !absl::SimpleAtoi(parts[4], &block)) {
    return "";
  }
  std::string inner;
  if (parts[5] == "shortcut") {
    inner = Layer(parts.subspan(6), "downsample.0", "downsample.1");
  } else if (parts[5] == "layer" && parts.size() > 6 && absl::SimpleAtoi(parts[6], &layer)) {
    inner = Layer(parts.subspan(7), absl::StrCat("conv", layer + 1), absl::StrCat("bn", layer + 1));
  }
  return inner.empty() ? "" : absl::StrCat("layer", stage + 1, ".", block, ".", inner);
}

}  // namespace

std::string FromTransformers(absl::string_view name) {
  const std::vector<absl::string_view> all =
      absl::StrSplit(absl::StripPrefix(name, "resnet."), '.');
  const absl::Span<const absl::string_view> parts = all;
  std::string ours;
  if (parts.size() > 2 && parts[0] == "embedder" && parts[1] == "embedder") {
    ours = Layer(parts.subspan(2), "conv1", "bn1");
  } else if (parts[0] == "encoder") {
    ours = Block(parts);
  } else if (parts.size() == 3 && parts[0] == "classifier" && parts[1] == "1") {
    ours = absl::StrCat("fc.", parts[2]);
  }
  return ours.empty() ? std::string(name) : ours;
}

}  // namespace finetune
