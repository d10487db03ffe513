#include "data_tools/decode.h"

#include <png.h>
#include <turbojpeg.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#define STB_IMAGE_RESIZE_IMPLEMENTATION
#define STB_IMAGE_RESIZE_STATIC
#include <stb/stb_image_resize.h>
#pragma GCC diagnostic pop

namespace finetune {
namespace {

// A picture's header can claim anything. This bounds what is allocated for it, to 192 MiB (a
// progressive JPEG: to 600); the largest pictures of ImageNet have 61 million pixels.
constexpr int64_t kMaxPixels = int64_t{1} << 26;

absl::Status CheckSize(const std::string& name, int64_t height, int64_t width) {
  if (height * width <= kMaxPixels) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(name, ": says that it is ", height, "x", width,
                                          " (height x width); at most ", kMaxPixels,
                                          " pixels are read"));
}

// Big-endian.
uint32_t Number(absl::string_view bytes, size_t at, int size) {
  uint32_t value = 0;
  for (int i = 0; i < size; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

// The orientation in EXIF data, a TIFF file whose first folder has it as tag 0x0112: 1 to 8, and 1
// where there is none or the data are broken. TIFF 6.0 and EXIF 2.3 describe the layout.
int ExifOrientation(absl::string_view tiff) {
  constexpr size_t kHeader = 8, kEntry = 12;
  constexpr uint32_t kOrientation = 0x0112, kShort = 3;
  if (tiff.size() < kHeader) return 1;
  const bool little = absl::StartsWith(tiff, "II");
  if (!little && !absl::StartsWith(tiff, "MM")) return 1;
  const auto number = [&](size_t at, int size) {
    if (!little) return Number(tiff, at, size);
    uint32_t value = 0;
    for (int i = size; i-- > 0;) value = value << 8 | static_cast<uint8_t>(tiff[at + i]);
    return value;
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

// Orientation k + 1 turns the stored picture as kTurns[k] says: first rows and columns change
// places, then the columns are mirrored left to right, then the rows top to bottom.
struct Turn {
  bool transpose, mirror, upside_down;
};
constexpr std::array<Turn, 8> kTurns = {{{false, false, false},
                                         {false, true, false},
                                         {false, true, true},
                                         {false, false, true},
                                         {true, false, false},
                                         {true, true, false},
                                         {true, true, true},
                                         {true, false, true}}};

Picture Turned(Picture picture, int orientation) {
  const Turn turn = kTurns[orientation - 1];
  if (orientation == 1) return picture;
  Picture turned;
  turned.warning = std::move(picture.warning);
  turned.height = turn.transpose ? picture.width : picture.height;
  turned.width = turn.transpose ? picture.height : picture.width;
  turned.pixels.reserve(picture.pixels.size());
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      const int v = turn.upside_down ? turned.height - 1 - y : y;
      const int u = turn.mirror ? turned.width - 1 - x : x;
      const int64_t row = turn.transpose ? u : v, column = turn.transpose ? v : u;
      const auto pixel = picture.pixels.begin() + (row * picture.width + column) * 3;
      turned.pixels.insert(turned.pixels.end(), pixel, pixel + 3);
    }
  }
  return turned;
}

// The parts of a JPEG around its compressed data.
struct JpegMarkers {
  // Whether the end marker is there. libjpeg takes a file without it for a whole one, its rest
  // grey.
  bool whole = false;
  int orientation = 1;
};

// Goes from marker to marker, over stray bytes between them as libjpeg does. A thumbnail lies
// within a segment, so its own end marker is not met.
JpegMarkers FindJpegMarkers(absl::string_view jpeg) {
  constexpr uint8_t kStuffed = 0x00, kTem = 0x01, kRst0 = 0xd0, kSoi = 0xd8, kEoi = 0xd9,
                    kApp1 = 0xe1;
  constexpr absl::string_view kExif("Exif\0\0", 6);
  JpegMarkers markers;
  bool exif = false;
  size_t at = 0;
  while (true) {
    at = jpeg.find('\xff', at);
    if (at >= jpeg.size() || jpeg.size() - at < 2) return markers;
    const auto marker = static_cast<uint8_t>(jpeg[at + 1]);
    if (marker == 0xff) {
      ++at;
      continue;
    }
    at += 2;
    // RST0 to RST7, SOI and EOI follow each other.
    if (marker == kStuffed || marker == kTem || (marker >= kRst0 && marker <= kSoi)) continue;
    if (marker == kEoi) {
      markers.whole = true;
      return markers;
    }
    if (jpeg.size() - at < 2) return markers;
    const size_t length = Number(jpeg, at, 2);
    if (length < 2 || length > jpeg.size() - at) return markers;
    const absl::string_view segment = jpeg.substr(at + 2, length - 2);
    if (marker == kApp1 && !exif && absl::StartsWith(segment, kExif)) {
      exif = true;
      markers.orientation = ExifOrientation(segment.substr(kExif.size()));
    }
    at += length;
  }
}

// Pillow's cmyk2rgb of Adobe's inverted values. `cmyk`: 4 values a pixel.
std::vector<uint8_t> RgbOfCmyk(const std::vector<uint8_t>& cmyk) {
  std::vector<uint8_t> rgb;
  rgb.reserve(cmyk.size() / 4 * 3);
  for (size_t i = 0; i < cmyk.size(); i += 4) {
    const int light = cmyk[i + 3];
    for (int c = 0; c < 3; ++c) {
      // (255 - ink) * light / 255, rounded.
      const int product = (255 - cmyk[i + c]) * light + 128;
      rgb.push_back(static_cast<uint8_t>(light - ((product + (product >> 8)) >> 8)));
    }
  }
  return rgb;
}

absl::StatusOr<Picture> DecodeJpeg(const std::string& name, const std::string& bytes,
                                   Orientation orientation) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), &tjDestroy);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  Picture picture;
  int subsampling = 0, colorspace = 0;
  const auto fail = [&](absl::string_view reason) {
    return absl::DataLossError(
        absl::StrCat(name, ": broken JPEG of ", bytes.size(), " bytes: ", reason));
  };
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &picture.width, &picture.height,
                          &subsampling, &colorspace) != 0 &&
      tjGetErrorCode(decoder.get()) != TJERR_WARNING) {
    return fail(tjGetErrorStr2(decoder.get()));
  }
  FT_RETURN_IF_ERROR(CheckSize(name, picture.height, picture.width));
  const JpegMarkers markers = FindJpegMarkers(bytes);
  if (!markers.whole) return fail("its end is missing");
  const bool cmyk = colorspace == TJCS_CMYK || colorspace == TJCS_YCCK;
  picture.pixels.resize(size_t{cmyk ? 4u : 3u} * picture.width * picture.height);
  // The limit is for small files that ask for the whole picture to be gone over thousands of times.
  if (tjDecompress2(decoder.get(), data, bytes.size(), picture.pixels.data(), picture.width, 0,
                    picture.height, cmyk ? TJPF_CMYK : TJPF_RGB,
                    TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    if (tjGetErrorCode(decoder.get()) != TJERR_WARNING) return fail(tjGetErrorStr2(decoder.get()));
    picture.warning = tjGetErrorStr2(decoder.get());
  }
  if (cmyk) picture.pixels = RgbOfCmyk(picture.pixels);
  if (orientation == Orientation::kIgnore) return picture;
  return Turned(std::move(picture), markers.orientation);
}

// The parts of a PNG around its compressed data. libpng stops at the last row, and so takes a file
// whose end is missing for a whole one. Errors: DataLoss for such a file.
absl::StatusOr<int> PngOrientation(const std::string& name, absl::string_view bytes) {
  constexpr size_t kSignature = 8, kAround = 12;  // a chunk's length, type and checksum
  size_t at = kSignature;
  int orientation = 1;
  while (at <= bytes.size() && bytes.size() - at >= kAround) {
    const uint32_t length = Number(bytes, at, 4);
    if (length > bytes.size() - at - kAround) break;
    const absl::string_view type = bytes.substr(at + 4, 4);
    if (type == "IEND") return orientation;
    if (type == "eXIf") orientation = ExifOrientation(bytes.substr(at + 8, length));
    at += kAround + length;
  }
  return absl::DataLossError(absl::StrCat(name, ": broken PNG: the chunk at byte ", at,
                                          " goes beyond the file's end at ", bytes.size()));
}

// libpng's decoder of one file. It reports errors by longjmp, so the methods that call it hold
// nothing that has a destructor.
class PngDecoder {
 public:
  explicit PngDecoder(absl::string_view bytes)
      : left_(bytes),
        png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &Fail, &Ignore)),
        info_(png_ == nullptr ? nullptr : png_create_info_struct(png_)) {}
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  // Reads up to the pixels. False: see error().
  bool ReadHeader() {
    if (info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, &Read);
    png_read_info(png_, info_);
    // Nothing here asks for gamma, so libpng leaves the values as they are.
    png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    png_set_gray_to_rgb(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }
  uint32_t height() const { return png_get_image_height(png_, info_); }
  uint32_t width() const { return png_get_image_width(png_, info_); }

  // Reads the pixels [height, width, 3], and what is after them. False: see error().
  bool ReadPixels(uint8_t* pixels) {
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    const size_t row = png_get_rowbytes(png_, info_);
    if (row != size_t{3} * width()) png_error(png_, "its rows are not RGB");
    for (int pass = 0; pass < passes_; ++pass) {
      for (uint32_t y = 0; y < height(); ++y) png_read_row(png_, pixels + y * row, nullptr);
    }
    png_read_end(png_, nullptr);
    return true;
  }

  const char* error() const { return error_.data(); }

 private:
  [[noreturn]] static void Fail(png_structp png, png_const_charp message) {
    auto* self = static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(self->error_.data(), message, self->error_.size() - 1);
    png_longjmp(png, 1);
  }
  static void Ignore(png_structp, png_const_charp) {}
  static void Read(png_structp png, png_bytep to, size_t n) {
    auto* self = static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (n > self->left_.size()) png_error(png, "it ends too early");
    std::memcpy(to, self->left_.data(), n);
    self->left_.remove_prefix(n);
  }

  absl::string_view left_;
  std::array<char, 128> error_ = {};
  png_structp png_;
  png_infop info_;
  int passes_ = 1;
};

absl::StatusOr<Picture> DecodePng(const std::string& name, const std::string& bytes,
                                  Orientation orientation) {
  FT_ASSIGN_OR_RETURN(const int turn, PngOrientation(name, bytes));
  PngDecoder decoder(bytes);
  const auto fail = [&] {
    return absl::DataLossError(absl::StrCat(name, ": broken PNG: ", decoder.error()));
  };
  if (!decoder.ReadHeader()) return fail();
  FT_RETURN_IF_ERROR(CheckSize(name, decoder.height(), decoder.width()));
  Picture picture;
  picture.width = static_cast<int>(decoder.width());
  picture.height = static_cast<int>(decoder.height());
  picture.pixels.resize(size_t{3} * picture.width * picture.height);
  if (!decoder.ReadPixels(picture.pixels.data())) return fail();
  if (orientation == Orientation::kIgnore) return picture;
  return Turned(std::move(picture), turn);
}

// The kind of a file that is neither JPEG nor PNG, for errors.
absl::string_view KindOf(absl::string_view bytes) {
  if (bytes.empty()) return "empty";
  if (absl::StartsWith(bytes, "RIFF") && bytes.size() >= 12 && bytes.substr(8, 4) == "WEBP") {
    return "a WebP";
  }
  if (absl::StartsWith(bytes, "GIF8")) return "a GIF";
  if (absl::StartsWith(bytes, "BM")) return "a BMP";
  if (absl::StartsWith(bytes, absl::string_view("II*\0", 4)) ||
      absl::StartsWith(bytes, absl::string_view("MM\0*", 4))) {
    return "a TIFF";
  }
  return "not a picture";
}

// The square of side `size` in the middle of a picture that is at least as large.
Picture Middle(const Picture& picture, int size) {
  Picture square;
  square.height = square.width = size;
  const int top = (picture.height - size) / 2, left = (picture.width - size) / 2;
  for (int y = 0; y < size; ++y) {
    const auto row = picture.pixels.begin() + (int64_t{y + top} * picture.width + left) * 3;
    square.pixels.insert(square.pixels.end(), row, row + int64_t{size} * 3);
  }
  return square;
}

}  // namespace

absl::StatusOr<Picture> DecodePicture(const std::string& name, const std::string& bytes,
                                      Orientation orientation) {
  if (absl::StartsWith(bytes, "\xff\xd8")) return DecodeJpeg(name, bytes, orientation);
  if (absl::StartsWith(bytes, "\x89PNG")) return DecodePng(name, bytes, orientation);
  return absl::DataLossError(absl::StrCat(name, ": is ", KindOf(bytes), "; expected JPEG or PNG"));
}

absl::StatusOr<Picture> FitSquare(const Picture& picture, int size) {
  const int64_t shorter = std::min(picture.height, picture.width);
  const auto scale = [&](int64_t side) { return (2 * side * size + shorter) / (2 * shorter); };
  const int64_t height = scale(picture.height), width = scale(picture.width);
  if (height * width > kMaxPixels) {
    return absl::InvalidArgumentError(absl::StrCat(
        picture.height, "x", picture.width, " scaled to a shorter side of ", size, " would be ",
        height, "x", width, " (height x width); at most ", kMaxPixels, " pixels are made"));
  }
  if (shorter == size) return Middle(picture, size);
  Picture scaled;
  scaled.height = static_cast<int>(height);
  scaled.width = static_cast<int>(width);
  scaled.pixels.resize(size_t{3} * scaled.height * scaled.width);
  if (stbir_resize_uint8(picture.pixels.data(), picture.width, picture.height, 0,
                         scaled.pixels.data(), scaled.width, scaled.height, 0, 3) == 0) {
    return absl::ResourceExhaustedError("no memory to scale a picture");
  }
  return Middle(scaled, size);
}

}  // namespace finetune
