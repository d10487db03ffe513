#include "src/base/encode_image.h"

#include <png.h>
#include <turbojpeg.h>

#include <memory>

#include "absl/strings/str_cat.h"

namespace finetune {

absl::StatusOr<std::string> EncodePng(const PixelView& image) {
  png_image header = {};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = image.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::string png(PNG_IMAGE_PNG_SIZE_MAX(header), '\0');
  png_alloc_size_t size = png.size();
  if (png_image_write_to_memory(&header, png.data(), &size, /*convert_to_8_bit=*/0,
                                image.pixels.data(), /*row_stride=*/0, /*colormap=*/nullptr) == 0) {
    return absl::InternalError(absl::StrCat("cannot write a PNG of ", image.height, "x",
                                            image.width, ": ", header.message));
  }
  png.resize(size);
  return png;
}

absl::StatusOr<std::string> EncodeJpeg(const PixelView& image, int quality) {
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), &tjDestroy);
  const bool grey = image.channels == 1;
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libturbojpeg's type
  const int failed = tjCompress2(encoder.get(), image.pixels.data(), image.width, /*pitch=*/0,
                                 image.height, grey ? TJPF_GRAY : TJPF_RGB, &bytes, &size,
                                 grey ? TJSAMP_GRAY : TJSAMP_420, quality, TJFLAG_ACCURATEDCT);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(bytes, &tjFree);
  if (failed != 0) {
    return absl::InternalError(
        absl::StrCat("cannot encode as JPEG: ", tjGetErrorStr2(encoder.get())));
  }
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

}  // namespace finetune
