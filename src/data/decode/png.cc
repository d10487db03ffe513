// Decodes PNG with libpng, the reference decoder.

#include <png.h>

#include <array>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "src/data/decode/exif.h"
#include "src/data/decode/kind_decoder.h"

namespace finetune {
namespace {

// Returns the EXIF orientation of a PNG, or 1 if it has none. Checks first that the file has all
// its chunks up to IEND: libpng stops at the last row, so it would accept a file without its end.
// Errors: DataLoss for such a file.
absl::StatusOr<int> PngOrientation(absl::string_view bytes) {
  constexpr size_t kSignature = 8, kAround = 12;  // chunk length, type, checksum
  size_t at = kSignature;
  int orientation = 1;
  while (at <= bytes.size() && bytes.size() - at >= kAround) {
    const uint32_t length = BigEndian(bytes, at, 4);
    if (length > bytes.size() - at - kAround) break;
    const absl::string_view type = bytes.substr(at + 4, 4);
    if (type == "IEND") return orientation;
    if (type == "eXIf") orientation = ExifOrientation(bytes.substr(at + 8, length));
    at += kAround + length;
  }
  return absl::DataLossError(absl::StrCat("broken PNG: the chunk at byte ", at,
                                          " goes beyond the file's end at ", bytes.size()));
}

// Decodes one file with libpng, which reports errors by longjmp. So a method that calls libpng must
// not have local objects with a destructor.
class PngFile {
 public:
  explicit PngFile(absl::string_view bytes)
      : left_(bytes),
        png_(png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &Fail, &Ignore)),
        info_(png_ == nullptr ? nullptr : png_create_info_struct(png_)) {}
  ~PngFile() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngFile(const PngFile&) = delete;
  PngFile& operator=(const PngFile&) = delete;

  // Reads the file up to the pixels. Returns false on an error, whose text is error().
  bool ReadHeader() {
    if (info_ == nullptr) return false;
    if (setjmp(png_jmpbuf(png_)) != 0) return false;
    png_set_read_fn(png_, this, &Read);
    png_read_info(png_, info_);
    // Ask libpng for RGB with 8 bits a channel. No gamma correction is requested, so the values
    // stay as they are stored.
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

  // Reads the pixels [height, width, 3], and the chunks after them. Returns false on an error,
  // whose text is error().
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
    auto* self = static_cast<PngFile*>(png_get_error_ptr(png));
    std::strncpy(self->error_.data(), message, self->error_.size() - 1);
    png_longjmp(png, 1);
  }
  static void Ignore(png_structp, png_const_charp) {}
  static void Read(png_structp png, png_bytep to, size_t n) {
    auto* self = static_cast<PngFile*>(png_get_io_ptr(png));
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

class PngDecoder final : public KindDecoder {
 public:
  absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) override {
    FT_ASSIGN_OR_RETURN(const int orientation, PngOrientation(bytes));
    // libpng's objects cannot be reused for another file.
    file_.emplace(bytes);
    if (!file_->ReadHeader()) return Broken();
    return StoredImage{file_->height(), file_->width(), orientation};
  }

  absl::Status ReadPixels(uint8_t* pixels, std::string* warning) override {
    const absl::Status status = file_->ReadPixels(pixels) ? absl::OkStatus() : Broken();
    file_.reset();
    return status;
  }

 private:
  absl::Status Broken() const {
    return absl::DataLossError(absl::StrCat("broken PNG: ", file_->error()));
  }

  std::optional<PngFile> file_;
};

}  // namespace

std::unique_ptr<KindDecoder> MakePngDecoder() { return std::make_unique<PngDecoder>(); }

}  // namespace finetune
