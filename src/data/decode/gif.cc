// Decodes the first frame of a GIF with giflib, the reference decoder. The file is read record by
// record, because giflib's function for a whole file (DGifSlurp) allocates as much memory as each
// frame's header claims.

#include <gif_lib.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/data/decode/exif.h"
#include "src/data/decode/kind_decoder.h"

namespace finetune {
namespace {

class GifDecoder final : public KindDecoder {
 public:
  ~GifDecoder() override { Close(); }

  absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) override {
    Close();
    left_ = bytes;
    outside_ = 0;
    int error = 0;
    gif_ = DGifOpen(this, &Read, &error);
    if (gif_ == nullptr) return Broken(error);
    while (true) {
      GifRecordType record = UNDEFINED_RECORD_TYPE;
      if (DGifGetRecordType(gif_, &record) != GIF_OK) return Broken(gif_->Error);
      if (record == IMAGE_DESC_RECORD_TYPE) break;
      if (record != EXTENSION_RECORD_TYPE) {
        return absl::DataLossError("broken GIF: it has no image");
      }
      if (!SkipExtension()) return Broken(gif_->Error);
    }
    if (DGifGetImageDesc(gif_) != GIF_OK) return Broken(gif_->Error);
    const GifImageDesc& frame = gif_->Image;
    // As in Pillow, the image's size is that of the canvas, or larger if the frame reaches beyond
    // the canvas.
    return StoredImage{std::max<int64_t>(gif_->SHeight, int64_t{frame.Top} + frame.Height),
                       std::max<int64_t>(gif_->SWidth, int64_t{frame.Left} + frame.Width), 1};
  }

  absl::Status ReadPixels(uint8_t* pixels, std::string* warning) override {
    const GifImageDesc& frame = gif_->Image;
    const int64_t height = std::max<int64_t>(gif_->SHeight, int64_t{frame.Top} + frame.Height);
    const int64_t width = std::max<int64_t>(gif_->SWidth, int64_t{frame.Left} + frame.Width);
    const ColorMapObject* const colors =
        frame.ColorMap != nullptr ? frame.ColorMap : gif_->SColorMap;
    const int count = colors == nullptr ? 256 : colors->ColorCount;
    const auto put = [&](int index, uint8_t* pixel) {
      if (colors == nullptr) {
        std::fill_n(pixel, 3, static_cast<uint8_t>(index));
      } else {
        const GifColorType& color = colors->Colors[index];
        pixel[0] = color.Red;
        pixel[1] = color.Green;
        pixel[2] = color.Blue;
      }
    };
    if (outside_ >= count) outside_ = 0;
    for (int64_t i = 0; i < height * width; ++i) put(outside_, pixels + i * 3);
    line_.resize(frame.Width);
    // An interlaced frame stores every eighth row first, then the rows in between.
    struct Pass {
      int first, step;
    };
    constexpr std::array<Pass, 4> kInterlaced = {{{0, 8}, {4, 8}, {2, 4}, {1, 2}}};
    constexpr std::array<Pass, 1> kPlain = {{{0, 1}}};
    const Pass* const passes = frame.Interlace ? kInterlaced.data() : kPlain.data();
    const size_t pass_count = frame.Interlace ? kInterlaced.size() : kPlain.size();
    for (size_t p = 0; p < pass_count; ++p) {
      for (int y = passes[p].first; y < frame.Height; y += passes[p].step) {
        if (DGifGetLine(gif_, line_.data(), frame.Width) != GIF_OK) return Broken(gif_->Error);
        uint8_t* const row = pixels + ((y + int64_t{frame.Top}) * width + frame.Left) * 3;
        for (int x = 0; x < frame.Width; ++x) {
          if (line_[x] >= count) {
            return absl::DataLossError(absl::StrCat("broken GIF: a pixel has color ", line_[x],
                                                    " of a palette of ", count));
          }
          put(line_[x], row + int64_t{x} * 3);
        }
      }
    }
    Close();
    return absl::OkStatus();
  }

 private:
  void Close() {
    if (gif_ != nullptr) DGifCloseFile(gif_, nullptr);
    gif_ = nullptr;
  }

  // Skips an extension. If it is a graphics control extension with a transparent colour, keeps this
  // colour in outside_: as in Pillow, it fills the canvas around the frame. Returns false on an
  // error.
  bool SkipExtension() {
    int code = 0;
    GifByteType* block = nullptr;
    if (DGifGetExtension(gif_, &code, &block) != GIF_OK) return false;
    while (block != nullptr) {
      if (code == GRAPHICS_EXT_FUNC_CODE && block[0] >= 4 && (block[1] & 1) != 0) {
        outside_ = block[4];
      }
      if (DGifGetExtensionNext(gif_, &block) != GIF_OK) return false;
    }
    return true;
  }

  static int Read(GifFileType* gif, GifByteType* to, int n) {
    auto* self = static_cast<GifDecoder*>(gif->UserData);
    const size_t count = std::min(static_cast<size_t>(n), self->left_.size());
    std::memcpy(to, self->left_.data(), count);
    self->left_.remove_prefix(count);
    return static_cast<int>(count);
  }

  static absl::Status Broken(int error) {
    const char* const reason = GifErrorString(error);
    return absl::DataLossError(
        absl::StrCat("broken GIF: ", reason != nullptr ? reason : "its end is missing"));
  }

  absl::string_view left_;
  GifFileType* gif_ = nullptr;
  int outside_ = 0;
  std::vector<GifByteType> line_;
};

}  // namespace

std::unique_ptr<KindDecoder> MakeGifDecoder() { return std::make_unique<GifDecoder>(); }

}  // namespace finetune
