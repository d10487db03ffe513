#include "src/base/encode_image.h"

#include <png.h>
#include <turbojpeg.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace finetune {
namespace {

constexpr int kHeight = 16, kWidth = 32;

// Returns smooth colours, which a JPEG keeps well: [kHeight, kWidth, channels].
std::vector<uint8_t> Smooth(int channels) {
  std::vector<uint8_t> pixels;
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) {
      for (int c = 0; c < channels; ++c) pixels.push_back(static_cast<uint8_t>(40 + 4 * x + 3 * y));
    }
  }
  return pixels;
}

std::vector<uint8_t> DecodePng(const std::string& file, int channels) {
  png_image image = {};
  image.version = PNG_IMAGE_VERSION;
  EXPECT_NE(png_image_begin_read_from_memory(&image, file.data(), file.size()), 0);
  EXPECT_EQ(image.height, kHeight);
  EXPECT_EQ(image.width, kWidth);
  image.format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  std::vector<uint8_t> pixels(PNG_IMAGE_SIZE(image));
  EXPECT_NE(png_image_finish_read(&image, nullptr, pixels.data(), 0, nullptr), 0);
  return pixels;
}

std::vector<uint8_t> DecodeJpeg(const std::string& file, int channels) {
  const std::unique_ptr<void, int (*)(tjhandle)> decoder(tjInitDecompress(), &tjDestroy);
  std::vector<uint8_t> pixels(size_t{1} * kHeight * kWidth * channels);
  EXPECT_EQ(tjDecompress2(decoder.get(), reinterpret_cast<const unsigned char*>(file.data()),
                          file.size(), pixels.data(), kWidth, /*pitch=*/0, kHeight,
                          channels == 1 ? TJPF_GRAY : TJPF_RGB, /*flags=*/0),
            0);
  return pixels;
}

class EncodeTest : public testing::TestWithParam<int> {};

TEST_P(EncodeTest, PngKeepsEveryPixel) {
  const std::vector<uint8_t> pixels = Smooth(GetParam());
  const auto png = EncodePng({pixels, kHeight, kWidth, GetParam()});
  ASSERT_TRUE(png.ok()) << png.status();
  EXPECT_EQ(DecodePng(*png, GetParam()), pixels);
}

TEST_P(EncodeTest, JpegOfGoodQualityIsClose) {
  const std::vector<uint8_t> pixels = Smooth(GetParam());
  const auto jpeg = EncodeJpeg({pixels, kHeight, kWidth, GetParam()}, /*quality=*/95);
  ASSERT_TRUE(jpeg.ok()) << jpeg.status();
  const std::vector<uint8_t> decoded = DecodeJpeg(*jpeg, GetParam());
  for (size_t i = 0; i < pixels.size(); ++i) EXPECT_NEAR(decoded[i], pixels[i], 4) << i;
}

INSTANTIATE_TEST_SUITE_P(Channels, EncodeTest, testing::Values(1, 3));

TEST(Encode, SaysThatAnEmptyImageCannotBeEncoded) {
  EXPECT_FALSE(EncodePng({{}, 0, 0, 3}).ok());
  EXPECT_FALSE(EncodeJpeg({{}, 0, 0, 3}, 90).ok());
}

}  // namespace
}  // namespace finetune
