#include "src/data/decode/image_ending.h"

#include <array>
#include <filesystem>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace finetune {
namespace {

constexpr std::array<absl::string_view, 15> kEndings = {".jpg",  ".jpeg", ".jpe", ".jfif", ".png",
                                                        ".webp", ".gif",  ".bmp", ".tif",  ".tiff",
                                                        ".ppm",  ".pgm",  ".pbm", ".pnm",  ".dib"};

}  // namespace

bool HasImageEnding(absl::string_view name) {
  return absl::c_linear_search(
      kEndings,
      absl::AsciiStrToLower(std::filesystem::path(std::string(name)).extension().string()));
}

bool HasHiddenPart(absl::string_view path) {
  return absl::c_any_of(
      std::filesystem::path(std::string(path)), [](const std::filesystem::path& part) {
        return absl::StartsWith(part.string(), ".") && part != "." && part != "..";
      });
}

}  // namespace finetune
