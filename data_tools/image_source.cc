#include "data_tools/image_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

constexpr std::array<absl::string_view, 10> kOtherEndings = {
    ".avif", ".heic", ".jp2", ".heif", ".jxl", ".ico", ".tga", ".dng", ".svg", ".exr"};

std::string Ending(absl::string_view name) {
  return absl::AsciiStrToLower(std::filesystem::path(std::string(name)).extension().string());
}

}  // namespace

int64_t ImageSource::size() const {
  int64_t n = 0;
  for (const SourceSplit& split : splits) n += static_cast<int64_t>(split.images.size());
  return n;
}

std::vector<int64_t> ImageSource::TrainingCounts() const {
  std::vector<int64_t> counts(class_names.size());
  for (const SourceImage& image : splits[0].images) ++counts[image.label];
  return counts;
}

std::string OtherImageEnding(absl::string_view name) {
  std::string ending = Ending(name);
  return absl::c_linear_search(kOtherEndings, ending) ? ending : std::string();
}

void HoldOut(double fraction, ImageSource* source) {
  std::vector<SourceImage>& all = source->splits[0].images;
  struct Count {
    size_t n = 0, held = 0, passed = 0;
  };
  std::vector<Count> counts(source->class_names.size());
  for (const SourceImage& image : all) ++counts[image.label].n;
  for (Count& count : counts) {
    if (fraction <= 0 || count.n < 2) continue;
    count.held =
        std::clamp<size_t>(std::llround(static_cast<double>(count.n) * fraction), 1, count.n - 1);
  }
  SourceSplit held_out{"test", {}};
  std::vector<SourceImage> kept;
  for (SourceImage& image : all) {
    Count& count = counts[image.label];
    const size_t i = count.passed++;
    const bool held = (i + 1) * count.held / count.n > i * count.held / count.n;
    (held ? held_out.images : kept).push_back(std::move(image));
  }
  all = std::move(kept);
  if (!held_out.images.empty()) source->splits.push_back(std::move(held_out));
}

absl::Status RemoveImages(const std::set<std::string>& paths, ImageSource* source) {
  for (SourceSplit& split : source->splits) {
    std::vector<int64_t> left(source->class_names.size()), before = left;
    for (const SourceImage& image : split.images) ++before[image.label];
    std::erase_if(split.images,
                  [&](const SourceImage& image) { return paths.contains(image.path); });
    for (const SourceImage& image : split.images) ++left[image.label];
    for (size_t label = 0; label < left.size(); ++label) {
      if (before[label] == 0 || left[label] > 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("class ", source->class_names[label], " of ", split.name,
                       " has no image that can be read; remove or repair it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace finetune
