// Decodes the first page of a TIFF with libtiff, the reference decoder, which is fuzzed
// continuously. libtiff is told the largest memory block that it may allocate, so a hostile header
// cannot make it allocate more than a permitted image needs.

#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/data/decode/kind_decoder.h"
#include "src/data/image_size.h"

namespace finetune {
namespace {

class TiffDecoder final : public KindDecoder {
 public:
  absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) override {
    tiff_.reset();
    bytes_ = bytes;
    at_ = 0;
    reason_.clear();
    const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(
        TIFFOpenOptionsAlloc(), &TIFFOpenOptionsFree);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), kMaxPixels * 8);
    TIFFOpenOptionsSetErrorHandlerExtR(options.get(), &KeepError, this);
    TIFFOpenOptionsSetWarningHandlerExtR(options.get(), &Ignore, this);
    tiff_.reset(TIFFClientOpenExt("image", "r", this, &Read, &Write, &Seek, &CloseNothing, &Size,
                                  &Map, &Unmap, options.get()));
    if (tiff_ == nullptr) return Broken();
    uint32_t height = 0, width = 0;
    uint16_t orientation = ORIENTATION_TOPLEFT;
    if (TIFFGetField(tiff_.get(), TIFFTAG_IMAGELENGTH, &height) != 1 ||
        TIFFGetField(tiff_.get(), TIFFTAG_IMAGEWIDTH, &width) != 1) {
      return Broken();
    }
    TIFFGetFieldDefaulted(tiff_.get(), TIFFTAG_ORIENTATION, &orientation);
    height_ = height;
    width_ = width;
    return StoredImage{height, width, orientation >= 1 && orientation <= 8 ? orientation : 1};
  }

  absl::Status ReadPixels(uint8_t* pixels, std::string* warning) override {
    const absl::Status status = Read(pixels);
    tiff_.reset();
    return status;
  }

 private:
  struct Close {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  };

  absl::Status Read(uint8_t* pixels) {
    TIFF* const tiff = tiff_.get();
    // Make libtiff return the rows as they are stored. The caller applies the orientation.
    TIFFSetField(tiff, TIFFTAG_ORIENTATION, ORIENTATION_TOPLEFT);
    // Alpha is dropped. libtiff would multiply the colours by alpha of the type "unassociated". To
    // prevent this, the alpha is declared to be "associated" (already multiplied).
    uint16_t count = 0;
    uint16_t* kinds = nullptr;
    if (TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) == 1 && count > 0) {
      std::vector<uint16_t> associated(kinds, kinds + count);
      std::replace(associated.begin(), associated.end(), uint16_t{EXTRASAMPLE_UNASSALPHA},
                   uint16_t{EXTRASAMPLE_ASSOCALPHA});
      TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, count, associated.data());
    }
    std::array<char, 1024> why = {};
    if (TIFFRGBAImageOK(tiff, why.data()) != 1) {
      return absl::DataLossError(absl::StrCat("broken TIFF: ", why.data()));
    }
    raster_.resize(static_cast<size_t>(height_) * width_);
    if (TIFFReadRGBAImageOriented(tiff, width_, height_, raster_.data(), ORIENTATION_TOPLEFT,
                                  /*stopOnError=*/1) != 1) {
      return Broken();
    }
    for (const uint32_t pixel : raster_) {
      *pixels++ = TIFFGetR(pixel);
      *pixels++ = TIFFGetG(pixel);
      *pixels++ = TIFFGetB(pixel);
    }
    return absl::OkStatus();
  }

  absl::Status Broken() const {
    return absl::DataLossError(
        absl::StrCat("broken TIFF: ", reason_.empty() ? "it has no image" : reason_));
  }

  static TiffDecoder* Self(void* handle) { return static_cast<TiffDecoder*>(handle); }
  static tmsize_t Read(void* handle, void* to, tmsize_t n) {
    TiffDecoder* const self = Self(handle);
    if (n <= 0 || self->at_ >= self->bytes_.size()) return 0;
    const size_t count = std::min(static_cast<size_t>(n), self->bytes_.size() - self->at_);
    std::memcpy(to, self->bytes_.data() + self->at_, count);
    self->at_ += count;
    return static_cast<tmsize_t>(count);
  }
  static tmsize_t Write(void*, void*, tmsize_t) { return -1; }
  static toff_t Seek(void* handle, toff_t offset, int whence) {
    TiffDecoder* const self = Self(handle);
    if (whence == SEEK_SET) self->at_ = offset;
    if (whence == SEEK_CUR) self->at_ += offset;
    if (whence == SEEK_END) self->at_ = self->bytes_.size() + offset;
    return self->at_;
  }
  static int CloseNothing(void*) { return 0; }
  static toff_t Size(void* handle) { return Self(handle)->bytes_.size(); }
  static int Map(void* handle, void** base, toff_t* size) {
    *base = const_cast<char*>(Self(handle)->bytes_.data());
    *size = Self(handle)->bytes_.size();
    return 1;
  }
  static void Unmap(void*, void*, toff_t) {}
  static int KeepError(TIFF*, void* handle, const char*, const char* format, va_list values) {
    std::array<char, 512> text = {};
    std::vsnprintf(text.data(), text.size(), format, values);
    std::string& reason = Self(handle)->reason_;
    if (reason.empty()) reason = text.data();
    return 1;
  }
  static int Ignore(TIFF*, void*, const char*, const char*, va_list) { return 1; }

  absl::string_view bytes_;
  toff_t at_ = 0;
  uint32_t height_ = 0, width_ = 0;
  std::string reason_;
  std::vector<uint32_t> raster_;
  // Must be the last member, so that it is closed first: closing it still uses the members above.
  std::unique_ptr<TIFF, Close> tiff_;
};

}  // namespace

std::unique_ptr<KindDecoder> MakeTiffDecoder() { return std::make_unique<TiffDecoder>(); }

}  // namespace finetune
