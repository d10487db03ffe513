#include "data_tools/picture_source.h"

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

int64_t PictureSource::size() const {
  int64_t n = 0;
  for (const SourceSplit& split : splits) n += static_cast<int64_t>(split.pictures.size());
  return n;
}

std::string OtherPictureEnding(absl::string_view name) {
  std::string ending = Ending(name);
  return absl::c_linear_search(kOtherEndings, ending) ? ending : std::string();
}

void HoldOut(double fraction, PictureSource* source) {
  std::vector<SourcePicture>& all = source->splits[0].pictures;
  struct Count {
    size_t n = 0, held = 0, passed = 0;
  };
  std::vector<Count> counts(source->class_names.size());
  for (const SourcePicture& picture : all) ++counts[picture.label].n;
  for (Count& count : counts) {
    if (fraction <= 0 || count.n < 2) continue;
    count.held =
        std::clamp<size_t>(std::llround(static_cast<double>(count.n) * fraction), 1, count.n - 1);
  }
  SourceSplit held_out{"test", {}};
  std::vector<SourcePicture> kept;
  for (SourcePicture& picture : all) {
    Count& count = counts[picture.label];
    const size_t i = count.passed++;
    const bool held = (i + 1) * count.held / count.n > i * count.held / count.n;
    (held ? held_out.pictures : kept).push_back(std::move(picture));
  }
  all = std::move(kept);
  if (!held_out.pictures.empty()) source->splits.push_back(std::move(held_out));
}

absl::Status RemovePictures(const std::set<std::string>& paths, PictureSource* source) {
  for (SourceSplit& split : source->splits) {
    std::vector<int64_t> left(source->class_names.size()), before = left;
    for (const SourcePicture& picture : split.pictures) ++before[picture.label];
    std::erase_if(split.pictures,
                  [&](const SourcePicture& picture) { return paths.contains(picture.path); });
    for (const SourcePicture& picture : split.pictures) ++left[picture.label];
    for (size_t label = 0; label < left.size(); ++label) {
      if (before[label] == 0 || left[label] > 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("class ", source->class_names[label], " of ", split.name,
                       " has no picture that can be read; remove or repair it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace finetune
