// Decodes JPEG with libjpeg-turbo: the fastest decoder for CPUs, well maintained, part of every
// distribution, and fuzzed continuously. Of its two interfaces the classic one (libjpeg's) is used,
// not TurboJPEG's. It keeps its memory from image to image and can skip rows and columns.
//
// Problem: training often needs only a part of a large image, and that at a smaller size. Decoding
// all of it at full size would waste time.
//
// Method: PartOf() chooses the rectangle and one of the scales 1/8, 1/4, 1/2 and 1, at which
// libjpeg can decode directly. ReadPart() skips the rows above the rectangle, decodes only the
// blocks that its columns need, and stops after its last row.
//
// Invariants: at full scale the pixels of a part are exactly those of the whole image. A file
// without an end marker and a file with too many scans are errors. A method that calls libjpeg has
// no local objects with a destructor, because libjpeg reports errors by longjmp.
//
// Tests: decode_test compares parts with the same rectangles of whole images, for every subsampling
// and orientation.

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <optional>
#include <vector>

// These headers use FILE and so must come after cstdio.
#include <jerror.h>
#include <jpeglib.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/data/decode/exif.h"
#include "src/data/decode/kind_decoder.h"

namespace finetune {
namespace {

// The most scans of a progressive JPEG. Each scan is a pass over the whole image, and a small
// hostile file can contain thousands.
constexpr int kMaxScans = 500;

// The facts that FindJpegMarkers() finds outside the compressed data.
struct JpegMarkers {
  // Whether the file has an end marker. libjpeg would decode a truncated file without an error and
  // make the missing rest grey.
  bool whole = false;
  int orientation = 1;
};

// Goes from marker to marker up to the end marker. As libjpeg does, it skips stray bytes between
// segments. It skips each segment as a whole, so the end marker of a thumbnail inside a segment is
// not taken for the file's.
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
    // No segment follows these. The codes of RST0 to RST7 and SOI are consecutive.
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

// Converts CMYK to RGB as Pillow's cmyk2rgb does. `cmyk`: [pixels, 4], inverted as Adobe stores it:
// 255 - ink.
void RgbOfCmyk(const uint8_t* cmyk, size_t pixels, uint8_t* rgb) {
  for (size_t i = 0; i < pixels; ++i, cmyk += 4) {
    const int light = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      // The result is light - ink * light / 255, where `light` is 255 - black ink. The shifts
      // divide by 255 and round.
      const int product = (255 - cmyk[c]) * light + 128;
      *rgb++ = static_cast<uint8_t>(light - ((product + (product >> 8)) >> 8));
    }
  }
}

// Chooses the part of a stored JPEG to decode and its scale. Of libjpeg's scales 1/8, 2/8, ..., 7/8
// only 1/8, 1/4 and 1/2 are used. libjpeg has no vector code for the others, so each of them takes
// more time than the next larger of these three or than full scale.
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
  // Converts [begin, begin + length) to scaled pixels, including those that it only partly covers.
  const auto scaled = [&](int64_t begin, int64_t length, int* first, int* count) {
    const int64_t end = (begin + length) * stored.eighths;
    *first = static_cast<int>(begin * stored.eighths / 8);
    *count = static_cast<int>((end + 7) / 8) - *first;
  };
  scaled(top, rows, &stored.part.top, &stored.part.height);
  scaled(left, columns, &stored.part.left, &stored.part.width);
  return stored;
}

// libjpeg reports errors by longjmp, which skips destructors. So a method that calls libjpeg must
// not have local objects with a destructor.
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
    // Discard what libjpeg still has of the previous image.
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

  // Returns whether a progressive JPEG, all of whose scans have been read, lacks some bits of some
  // coefficients. For such a file libjpeg smooths each block by its neighbours, if it decodes them.
  // So all columns and rows must be decoded to get the pixels of Decode().
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
      // libjpeg interpolates the colours of the first and last decoded column without their outer
      // neighbours. So one more colour sample (`margin` pixels) is decoded on either side.
      // jpeg_crop_scanline() also moves `first` to the beginning of a block.
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
    // Discard the rest: the rows below the part are not decoded.
    jpeg_abort_decompress(&info_);
    return true;
  }

  [[noreturn]] static void Fail(j_common_ptr info) {
    (*info->err->output_message)(info);
    std::longjmp(static_cast<JpegDecoder*>(info->client_data)->jump_, 1);
  }
  // Keeps the text of an error or of the first warning in message_.
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
