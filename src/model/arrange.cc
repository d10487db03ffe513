#include "src/model/arrange.h"

#include <algorithm>
#include <cstddef>
#include <functional>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace finetune {
namespace {

// Prefixes of more parts are not searched for: a hostile name may have thousands of parts.
constexpr int kMaxPrefixParts = 8;

// Returns the model's name for a tensor that has another package's name, or whose layer has one; ""
// where neither has.
std::string ByOtherName(const LayerNames& other_names, absl::string_view name) {
  if (const auto tensor = other_names.find(name); tensor != other_names.end()) {
    return tensor->second;
  }
  const absl::string_view layer = name.substr(0, name.rfind('.'));
  const auto found = other_names.find(layer);
  return found == other_names.end() ? "" : absl::StrCat(found->second, name.substr(layer.size()));
}

// How a checkpoint names backbone and head below `parent`. Not flat: "backbone." and "head.". Flat:
// the backbone's names directly, and the head as "fc.".
struct Layout {
  std::string parent;
  bool flat;
};

// The shapes of the backbone's tensors, by their names.
using Shapes = std::map<absl::string_view, at::IntArrayRef>;

// Returns the model's name for an entry of the checkpoint; none where it is neither the backbone's
// nor the head's. `tensor`: undefined where the entry is not a plain tensor. Other packages' names
// are only looked for in a flat layout. A name may be both another package's and, without
// "backbone.", the model's own: in a ResNet-50-D, "layer1.0.downsample.1" is a batch norm of
// mmpretrain's and a convolution of timm's. It is the model's own if the tensor has that shape.
std::optional<std::string> ModelName(const Layout& layout, const LayerNames& other_names,
                                     const Shapes& shapes, absl::string_view full_name,
                                     const at::Tensor& tensor) {
  if (!absl::ConsumePrefix(&full_name, layout.parent)) return std::nullopt;
  const std::string name(full_name);
  if (layout.flat) {
    std::string ours = ByOtherName(other_names, name);
    const auto own = shapes.find(absl::StrCat(kBackbone, name));
    const bool is_own = own != shapes.end() && tensor.defined() && own->second == tensor.sizes();
    if (!ours.empty() && !is_own) return ours;
  }
  if (absl::StartsWith(name, "fc.")) return absl::StrCat("head.", name);
  if (absl::StartsWith(name, "head.")) return name;
  if (layout.flat) return absl::StrCat(kBackbone, name);
  if (absl::StartsWith(name, kBackbone)) return name;
  return std::nullopt;
}

// Returns the first part of a model's name, after "backbone." if it has that.
absl::string_view ModuleOf(absl::string_view name) {
  absl::ConsumePrefix(&name, kBackbone);
  return name.substr(0, name.find('.'));
}

// Adds an entry under the model's name for it. A checkpoint may have two heads, "head.fc." and
// "fc.": then the one that is named in the way of the layout is taken ("head." unless flat). The
// other is ignored, or, in a flat layout, counts as one of the backbone's and so is left over.
void Add(const Layout& layout, std::string name, Entry entry, Given* given) {
  const auto [found, is_new] = given->try_emplace(std::move(name), entry);
  if (is_new) return;
  const auto below = [&](const Entry& one) {
    return absl::string_view(one.name).substr(layout.parent.size());
  };
  if (absl::StartsWith(below(entry), "head.") != layout.flat) std::swap(found->second, entry);
  if (layout.flat) given->try_emplace(absl::StrCat(kBackbone, below(entry)), entry);
}

Given ArrangeAs(const Layout& layout, const LayerNames& other_names, const StateDict& checkpoint,
                const TensorList& backbone) {
  Shapes shapes;
  for (const NamedTensor& one : backbone) shapes[one.name] = one.tensor.sizes();
  Given given;
  for (const NamedTensor& one : checkpoint.tensors) {
    if (std::optional<std::string> name =
            ModelName(layout, other_names, shapes, one.name, one.tensor)) {
      Add(layout, *std::move(name), {one.name, one.tensor, ""}, &given);
    }
  }
  std::set<absl::string_view> modules = {"head"};
  for (const NamedTensor& one : backbone) modules.insert(ModuleOf(one.name));
  for (const StateDict::Unreadable& one : checkpoint.unreadable) {
    std::optional<std::string> name =
        ModelName(layout, other_names, shapes, one.name, at::Tensor());
    if (!name.has_value() || (layout.flat && !modules.contains(ModuleOf(*name)))) continue;
    Add(layout, *std::move(name), {one.name, at::Tensor(), one.reason}, &given);
  }
  return given;
}

}  // namespace

bool IsHead(absl::string_view name) {
  // The first layer of an mmpretrain head of several layers is a hidden one. It does not depend on
  // the classes, so it is loaded with the backbone.
  if (absl::StartsWith(name, "head.layers.0.")) return false;
  // The last layers of LeNet-5 and VGG.
  return absl::StartsWith(name, "head.") || absl::StartsWith(name, "backbone.classifier.2.") ||
         absl::StartsWith(name, "backbone.classifier.6.");
}

bool IsCounter(absl::string_view name) { return absl::EndsWith(name, ".num_batches_tracked"); }

Given Arrange(const StateDict& checkpoint, absl::string_view prefix, const TensorList& backbone,
              const LayerNames& other_names) {
  const std::string start = prefix.empty() ? "" : absl::StrCat(prefix, ".");
  std::vector<Layout> layouts = {{start, false}, {start, true}};
  absl::string_view parent = start;
  if (absl::ConsumeSuffix(&parent, kBackbone)) {
    layouts.insert(layouts.begin(), {std::string(parent), false});
  }
  for (const Layout& layout : layouts) {
    Given given = ArrangeAs(layout, other_names, checkpoint, backbone);
    if (std::any_of(backbone.begin(), backbone.end(),
                    [&](const NamedTensor& tensor) { return given.contains(tensor.name); })) {
      return given;
    }
  }
  return {};
}

std::vector<std::string> FittingPrefixes(const TensorList& tensors, const TensorList& backbone,
                                         const LayerNames& other_names) {
  std::map<std::string, const at::Tensor*, std::less<>> wanted;
  for (const NamedTensor& one : backbone) {
    // Checkpoints from before PyTorch 0.4.1 lack the counters.
    if (IsCounter(one.name)) continue;
    wanted[std::string(absl::StripPrefix(one.name, kBackbone))] = &one.tensor;
  }
  struct Found {
    size_t in_shape = 0, in_name = 0;
  };
  std::map<std::string, Found> prefixes;
  for (const NamedTensor& one : tensors) {
    const absl::string_view name = one.name;
    size_t begin = 0;
    for (int parts = 0; parts <= kMaxPrefixParts; ++parts) {
      auto found = wanted.find(name.substr(begin));
      if (found == wanted.end()) {
        const std::string ours = ByOtherName(other_names, name.substr(begin));
        found = wanted.find(absl::StripPrefix(ours, kBackbone));
      }
      if (found != wanted.end()) {
        Found& prefix = prefixes[std::string(name.substr(0, begin == 0 ? 0 : begin - 1))];
        ++prefix.in_name;
        prefix.in_shape += one.tensor.sizes() == found->second->sizes() ? 1 : 0;
        break;
      }
      begin = name.find('.', begin) + 1;
      if (begin == 0) break;
    }
  }
  std::vector<std::string> best;
  std::tuple<size_t, size_t> most = {0, 0};
  for (const auto& [prefix, found] : prefixes) {
    if (2 * found.in_name < wanted.size()) continue;
    const std::tuple<size_t, size_t> fit = {found.in_shape, found.in_name};
    if (fit > most) best.clear();
    if (fit >= most) best.push_back(prefix);
    most = std::max(most, fit);
  }
  return best;
}

}  // namespace finetune
