#include "src/data/decode/image_ending.h"

#include <array>
#include <filesystem>
#include <string>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"

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

}  // namespace finetune
