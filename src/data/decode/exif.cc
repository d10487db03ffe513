#include "src/data/decode/exif.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/match.h"

namespace finetune {
namespace {

// How an image of orientation k + 1 is turned is kTurns[k]: first rows and columns are exchanged
// (transpose), then the image is mirrored left to right (mirror), then top to bottom (upside_down).
struct Turning {
  bool transpose, mirror, upside_down;
};
constexpr std::array<Turning, 8> kTurns = {{{false, false, false},
                                            {false, true, false},
                                            {false, true, true},
                                            {false, false, true},
                                            {true, false, false},
                                            {true, true, false},
                                            {true, true, true},
                                            {true, false, true}}};

}  // namespace

int ExifOrientation(absl::string_view tiff) {
  constexpr size_t kHeader = 8, kEntry = 12;
  constexpr uint32_t kOrientation = 0x0112, kShort = 3;
  if (tiff.size() < kHeader) return 1;
  const bool little = absl::StartsWith(tiff, "II");
  if (!little && !absl::StartsWith(tiff, "MM")) return 1;
  const auto number = [&](size_t at, int size) {
    return little ? LittleEndian(tiff, at, size) : BigEndian(tiff, at, size);
  };
  const size_t folder = number(4, 4);
  if (folder > tiff.size() - 2) return 1;
  const size_t entries = number(folder, 2);
  for (size_t i = 0; i < entries; ++i) {
    const size_t at = folder + 2 + i * kEntry;
    if (at + kEntry > tiff.size()) return 1;
    if (number(at, 2) != kOrientation) continue;
    const uint32_t value = number(at + 8, 2);
    return number(at + 2, 2) == kShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

bool IsTransposed(int orientation) { return kTurns[orientation - 1].transpose; }

ImageRectangle StoredRectangle(const ImageRectangle& part, const ImageSize& turned,
                               int orientation) {
  const Turning turn = kTurns[orientation - 1];
  ImageRectangle stored = part;
  if (turn.upside_down) stored.top = turned.height - part.top - part.height;
  if (turn.mirror) stored.left = turned.width - part.left - part.width;
  if (turn.transpose) {
    std::swap(stored.top, stored.left);
    std::swap(stored.height, stored.width);
  }
  return stored;
}

PartPlace TurnedPlace(const ImageRectangle& stored, double scale, const ImageSize& turned,
                      int orientation) {
  const Turning turn = kTurns[orientation - 1];
  ImageRectangle part = stored;
  if (turn.transpose) {
    std::swap(part.top, part.left);
    std::swap(part.height, part.width);
  }
  // At a smaller scale the image's side need not be a whole number of pixels, and the last pixel
  // reaches beyond it. So after mirroring `top` or `left` may be a fraction, or negative.
  PartPlace place = {turned, scale, static_cast<double>(part.top), static_cast<double>(part.left)};
  if (turn.upside_down) place.top = turned.height * scale - part.top - part.height;
  if (turn.mirror) place.left = turned.width * scale - part.left - part.width;
  return place;
}

void Turn(const std::vector<uint8_t>& pixels, int height, int width, int orientation,
          std::vector<uint8_t>* turned) {
  const Turning turn = kTurns[orientation - 1];
  const int rows = turn.transpose ? width : height, columns = turn.transpose ? height : width;
  turned->resize(pixels.size());
  uint8_t* out = turned->data();
  for (int y = 0; y < rows; ++y) {
    for (int x = 0; x < columns; ++x, out += 3) {
      const int v = turn.upside_down ? rows - 1 - y : y;
      const int u = turn.mirror ? columns - 1 - x : x;
      const int64_t row = turn.transpose ? u : v, column = turn.transpose ? v : u;
      std::copy_n(pixels.begin() + (row * width + column) * 3, 3, out);
    }
  }
}

}  // namespace finetune
