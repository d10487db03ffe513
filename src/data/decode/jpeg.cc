// JPEG by libjpeg-turbo: the fastest decoder there is for CPUs, kept by its project and by every
// distribution, and under continuous fuzzing. Its classic interface is used, not TurboJPEG's,
// because it keeps its memory from image to image and can leave out rows.

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <optional>
#include <vector>

// After cstdio, whose FILE it names.
#include <jerror.h>
#include <jpeglib.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/data/decode/exif.h"
#include "src/data/decode/kind_decoder.h"

namespace finetune {
namespace {

// A progressive JPEG may ask for the whole image to be gone over thousands of times.
constexpr int kMaxScans = 500;

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
    const size_t length = BigEndian(jpeg, at, 2);
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
void RgbOfCmyk(const uint8_t* cmyk, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i, cmyk += 4) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      // (255 - ink) * light / 255, rounded.
      const int product = (255 - cmyk[c]) * light + 128;
      *rgb++ = static_cast<uint8_t>(light - ((product + (product >> 8)) >> 8));
    }
  }
}

// The part of a stored JPEG to decode. Of libjpeg's scales 1/8 to 7/8 only 1/8, 1/4 and
// 1/2 are taken: the others have no vector code, so that each takes more time than the next of
// these, or than no scale.
StoredPart PartOf(const NeededPart& need) {
  constexpr int kScales[] = {1, 2, 4};
  StoredPart stored;
  const auto [top, left, rows, columns] = need.part;
  if (need.resized.height > 0 && need.resized.width > 0) {
    for (const int eighths : kScales) {
      if (int64_t{1} * rows * eighths >= int64_t{8} * need.resized.height &&
          int64_t{1} * columns * eighths >= int64_t{8} * need.resized.width) {
        stored.eighths = eighths;
        break;
      }
    }
  }
  // [begin, begin + length) in scaled pixels, and those that it only touches.
  const auto scaled = [&](int64_t begin, int64_t length, int* first, int* count) {
    const int64_t end = (begin + length) * stored.eighths;
    *first = static_cast<int>(begin * stored.eighths / 8);
    *count = static_cast<int>((end + 7) / 8) - *first;
  };
  scaled(top, rows, &stored.part.top, &stored.part.height);
  scaled(left, columns, &stored.part.left, &stored.part.width);
  return stored;
}

// libjpeg reports errors by longjmp, so the methods that call it hold nothing that has a
// destructor.
class JpegDecoder final : public KindDecoder {
 public:
  JpegDecoder() {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = &Fail;
    errors_.output_message = &Keep;
    progress_.progress_monitor = &BoundScans;
  }
  ~JpegDecoder() override {
    if (created_) jpeg_destroy_decompress(&info_);
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  absl::StatusOr<StoredImage> ReadHeader(absl::string_view bytes) override {
    bytes_ = bytes.size();
    chosen_.reset();
    if (!Begin(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size())) {
      return Broken(message_);
    }
    const JpegMarkers markers = FindJpegMarkers(bytes);
    if (!markers.whole) return Broken("its end is missing");
    return StoredImage{info_.image_height, info_.image_width, markers.orientation};
  }

  std::optional<StoredPart> Choose(const NeededPart& need) override {
    const StoredPart part = PartOf(need);
    const ImageRectangle whole = {0, 0, static_cast<int>(info_.image_height),
                                  static_cast<int>(info_.image_width)};
    if (part.eighths < 8 || part.part != whole) chosen_ = part;
    return chosen_;
  }

  absl::Status ReadPixels(uint8_t* pixels, std::string* warning) override {
    const bool cmyk = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK;
    info_.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    info_.dct_method = JDCT_ISLOW;
    row_.resize(size_t{4} * info_.image_width);
    if (!(chosen_.has_value() ? ReadPart(cmyk, pixels) : Read(cmyk, pixels))) {
      return Broken(message_);
    }
    if (errors_.num_warnings > 0) *warning = message_;
    return absl::OkStatus();
  }

 private:
  absl::Status Broken(absl::string_view reason) const {
    return absl::DataLossError(absl::StrCat("broken JPEG of ", bytes_, " bytes: ", reason));
  }

  bool Begin(const unsigned char* bytes, size_t size) {
    if (setjmp(jump_) != 0) return false;
    if (!created_) {
      jpeg_create_decompress(&info_);
      created_ = true;
      info_.progress = &progress_;
    }
    // Ends what is left of the image before.
    jpeg_abort_decompress(&info_);
    jpeg_mem_src(&info_, bytes, size);
    jpeg_read_header(&info_, TRUE);
    return true;
  }

  bool Read(bool cmyk, uint8_t* pixels) {
    if (setjmp(jump_) != 0) return false;
    jpeg_start_decompress(&info_);
    const size_t row_bytes = size_t{3} * info_.output_width;
    while (info_.output_scanline < info_.output_height) {
      uint8_t* const row = pixels + info_.output_scanline * row_bytes;
      uint8_t* rows[1] = {cmyk ? row_.data() : row};
      jpeg_read_scanlines(&info_, rows, 1);
      if (cmyk) RgbOfCmyk(row_.data(), info_.output_width, row);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  // Whether the scans of a progressive JPEG, all read by now, do not give each coefficient all of
  // its bits. Then libjpeg smooths blocks by those around them, as far as it decodes these: all
  // must be decoded.
  bool HasMissingScans() const {
    if (!info_.progressive_mode || info_.coef_bits == nullptr) return false;
    const int* bits = info_.coef_bits[0];
    return std::any_of(bits, bits + ptrdiff_t{DCTSIZE2} * info_.num_components,
                       [](int missing) { return missing != 0; });
  }

  bool ReadPart(bool cmyk, uint8_t* pixels) {
    if (setjmp(jump_) != 0) return false;
    const auto [top, left, height, width] = chosen_->part;
    info_.scale_num = chosen_->eighths;
    info_.scale_denom = 8;
    jpeg_start_decompress(&info_);
    JDIMENSION first = 0, columns = info_.output_width;
    if (!HasMissingScans()) {
      // libjpeg interpolates the colours of its first and last column without their neighbours
      // beyond, so it decodes one more value of colour on either side. It begins with a whole
      // block.
      const int margin = info_.max_h_samp_factor;
      first = std::max(left - margin, 0);
      columns = std::min<JDIMENSION>(left + width + margin, info_.output_width) - first;
      if (columns < info_.output_width) jpeg_crop_scanline(&info_, &first, &columns);
      if (top > 0) jpeg_skip_scanlines(&info_, top);
    }
    uint8_t* rows[1] = {row_.data()};
    while (info_.output_scanline < static_cast<JDIMENSION>(top)) {
      jpeg_read_scanlines(&info_, rows, 1);
    }
    const size_t before = left - first;
    for (int y = 0; y < height; ++y) {
      uint8_t* const row = pixels + size_t{3} * y * width;
      jpeg_read_scanlines(&info_, rows, 1);
      if (cmyk) {
        RgbOfCmyk(row_.data() + 4 * before, width, row);
      } else {
        std::copy_n(row_.data() + 3 * before, size_t{3} * width, row);
      }
    }
    // Rows that come after are not read.
    jpeg_abort_decompress(&info_);
    return true;
  }

  [[noreturn]] static void Fail(j_common_ptr info) {
    (*info->err->output_message)(info);
    std::longjmp(static_cast<JpegDecoder*>(info->client_data)->jump_, 1);
  }
  // The error, or the first warning.
  static void Keep(j_common_ptr info) {
    (*info->err->format_message)(info, static_cast<JpegDecoder*>(info->client_data)->message_);
  }
  static void BoundScans(j_common_ptr info) {
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
    auto* self = static_cast<JpegDecoder*>(info->client_data);
    std::snprintf(self->message_, sizeof(self->message_), "it has more than %d scans", kMaxScans);
    std::longjmp(self->jump_, 1);
  }

  jpeg_decompress_struct info_ = {};
  jpeg_error_mgr errors_ = {};
  jpeg_progress_mgr progress_ = {};
  std::jmp_buf jump_ = {};
  char message_[JMSG_LENGTH_MAX] = {};
  bool created_ = false;
  size_t bytes_ = 0;
  std::optional<StoredPart> chosen_;
  std::vector<uint8_t> row_;
};

}  // namespace

std::unique_ptr<KindDecoder> MakeJpegDecoder() { return std::make_unique<JpegDecoder>(); }

}  // namespace finetune
