#include "src/data/decode/test_pictures.h"

#include <turbojpeg.h>
#include <zlib.h>

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

std::string Jpeg(int height, int width, const std::vector<uint8_t>& rgb) {
  const std::unique_ptr<void, int (*)(tjhandle)> encoder(tjInitCompress(), &tjDestroy);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;  // NOLINT(google-runtime-int): libturbojpeg's type
  EXPECT_EQ(tjCompress2(encoder.get(), rgb.data(), width, 0, height, TJPF_RGB, &bytes, &size,
                        TJSAMP_444, 95, 0),
            0);
  std::string jpeg(reinterpret_cast<char*>(bytes), size);
  tjFree(bytes);
  return jpeg;
}

std::string FlatJpeg(int height, int width, uint8_t grey) {
  return Jpeg(height, width, std::vector<uint8_t>(size_t{3} * height * width, grey));
}

}  // namespace finetune
