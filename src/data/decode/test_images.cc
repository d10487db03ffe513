#include "src/data/decode/test_images.h"

#include <turbojpeg.h>
#include <zlib.h>

#include <map>
#include <memory>

#include "gtest/gtest.h"

namespace finetune {
namespace {

std::string BigEndian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(value >> shift));
  return bytes;
}

std::string PngChunk(const std::string& type, const std::string& data) {
  const std::string body = type + data;
  return BigEndian(static_cast<uint32_t>(data.size())) + body +
         BigEndian(static_cast<uint32_t>(
             crc32(0, reinterpret_cast<const Bytef*>(body.data()), body.size())));
}

}  // namespace

std::string Png(uint32_t height, uint32_t width, int depth, int color, const std::string& rows,
                const std::string& palette) {
  std::string packed(compressBound(rows.size()), '\0');
  uLongf size = packed.size();
  EXPECT_EQ(compress(reinterpret_cast<Bytef*>(packed.data()), &size,
                     reinterpret_cast<const Bytef*>(rows.data()), rows.size()),
            Z_OK);
  packed.resize(size);
  std::string header = BigEndian(width) + BigEndian(height);
  header.push_back(static_cast<char>(depth));
  header.push_back(static_cast<char>(color));
  header += std::string(3, '\0');
  return "\x89PNG\r\n\x1a\n" + PngChunk("IHDR", header) +
         (palette.empty() ? "" : PngChunk("PLTE", palette)) + PngChunk("IDAT", packed) +
         PngChunk("IEND", "");
}

std::string FlatPng(uint32_t height, uint32_t width, uint8_t red, uint8_t green, uint8_t blue) {
  std::string row(1, '\0');
  for (uint32_t x = 0; x < width; ++x) {
    row.push_back(static_cast<char>(red));
    row.push_back(static_cast<char>(green));
    row.push_back(static_cast<char>(blue));
  }
  std::string rows;
  for (uint32_t y = 0; y < height; ++y) rows += row;
  return Png(height, width, 8, 2, rows);
}

std::string Jpeg(int height, int width, const std::vector<uint8_t>& rgb,
                 const JpegOptions& options) {
  const std::map<std::string, int> subsamplings = {{"4:4:4", TJSAMP_444}, {"4:2:2", TJSAMP_422},
                                                   {"4:2:0", TJSAMP_420}, {"4:4:0", TJSAMP_440},
                                                   {"4:1:1", TJSAMP_411}, {"grey", TJSAMP_GRAY}};
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), &tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libturbojpeg's type
  EXPECT_EQ(tjCompress2(encoder.get(), rgb.data(), width, 0, height, TJPF_RGB, &bytes, &size,
                        subsamplings.at(options.subsampling), 95,
                        options.progressive ? TJFLAG_PROGRESSIVE : 0),
            0);
  std::string jpeg(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  if (options.orientation == 1) return jpeg;
  // Insert an APP1 segment with EXIF data after the first marker: a TIFF file of one directory with
  // one tag, the orientation.
  const std::string tiff = std::string("MM\0*\0\0\0\10\0\1\1\x12\0\3\0\0\0\1\0", 19) +
                           static_cast<char>(options.orientation) + std::string(6, '\0');
  const std::string exif = std::string("Exif\0\0", 6) + tiff;
  const auto length = static_cast<uint32_t>(exif.size() + 2);
  return jpeg.substr(0, 2) + "\xff\xe1" + BigEndian(length).substr(2) + exif + jpeg.substr(2);
}

std::string FlatJpeg(int height, int width, uint8_t grey) {
  return Jpeg(height, width, std::vector<uint8_t>(size_t{3} * height * width, grey));
}

}  // namespace finetune
