#include "src/data/decode/decode.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "src/base/atomic_file.h"
#include "src/data/decode/test_images.h"

namespace finetune {
namespace {

using ::testing::ElementsAre;

DecodedImage Decoded(const std::string& bytes) {
  const auto image = DecodeImage("x", bytes);
  EXPECT_TRUE(image.ok()) << image.status();
  return image.ok() ? *image : DecodedImage();
}

TEST(DecodeImage, GivesRgbForEveryKindOfPng) {
  const auto rows = [](const std::string& bytes) { return std::string(1, '\0') + bytes; };
  EXPECT_THAT(Decoded(Png(1, 2, 8, 0, rows("\x0a\xc8"))).pixels,
              ElementsAre(10, 10, 10, 200, 200, 200));
  EXPECT_THAT(Decoded(Png(1, 2, 1, 0, rows("\x40"))).pixels, ElementsAre(0, 0, 0, 255, 255, 255));
  EXPECT_THAT(Decoded(Png(1, 2, 8, 3, rows(std::string("\1\0", 2)), "\1\2\3\4\5\6")).pixels,
              ElementsAre(4, 5, 6, 1, 2, 3));
  // One pixel is opaque, the other is fully transparent.
  EXPECT_THAT(Decoded(Png(1, 2, 8, 6, rows(std::string("\1\2\3\xff\4\5\6\0", 8)))).pixels,
              ElementsAre(1, 2, 3, 4, 5, 6));
  // 16 bits a channel: only the upper 8 are kept.
  EXPECT_THAT(Decoded(Png(1, 1, 16, 2, rows("\x10\xff\x80\x80\xf0\xf0"))).pixels,
              ElementsAre(0x10, 0x80, 0xf0));
}

// The fixtures are JPEG and PNG files with all types of alpha, gamma, palettes, 16 bits a channel,
// all eight orientations, CMYK and stray bytes.
TEST(DecodeImage, MatchesPillow) {
  const std::string folder = "tests/fixtures/pictures/";
  const nlohmann::json expected = nlohmann::json::parse(*ReadFile(folder + "expected.json"));
  ASSERT_GT(expected.size(), 30u);
  for (const auto& [name, both] : expected.items()) {
    SCOPED_TRACE(name);
    const std::string bytes = *ReadFile(folder + name);
    for (const bool turned : {true, false}) {
      const auto image =
          DecodeImage(name, bytes, turned ? Orientation::kApply : Orientation::kIgnore);
      ASSERT_TRUE(image.ok()) << image.status();
      const nlohmann::json& right = both.at(turned ? "turned" : "as_stored");
      EXPECT_EQ(image->height, right.at("height"));
      EXPECT_EQ(image->width, right.at("width"));
      std::string pixels;
      ASSERT_TRUE(absl::Base64Unescape(right.at("base64").get<std::string>(), &pixels));
      EXPECT_EQ(image->pixels, std::vector<uint8_t>(pixels.begin(), pixels.end()));
      EXPECT_EQ(image->warning.empty(),
                name != "stray_bytes.jpg" && name != "data_cut_before_end_marker.jpg");
    }
  }
}

// The fixtures are WebP, GIF, BMP, TIFF and PNM files.
TEST(DecodeImage, MatchesPillowInOtherKinds) {
  const std::string folder = "tests/fixtures/pictures/";
  const nlohmann::json expected = nlohmann::json::parse(*ReadFile(folder + "kinds.json"));
  ASSERT_GT(expected.size(), 25u);
  for (const auto& [name, both] : expected.items()) {
    SCOPED_TRACE(name);
    const std::string bytes = *ReadFile(folder + name);
    for (const bool turned : {true, false}) {
      ImageDecoder decoder(turned ? Orientation::kApply : Orientation::kIgnore);
      const nlohmann::json& right = both.at(turned ? "turned" : "as_stored");
      const auto size = decoder.ReadSize(bytes);
      ASSERT_TRUE(size.ok()) << size.status();
      EXPECT_EQ(size->height, right.at("height"));
      EXPECT_EQ(size->width, right.at("width"));
      DecodedImage image;
      const absl::Status status = decoder.Decode(bytes, &image);
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(image.height, right.at("height"));
      EXPECT_EQ(image.width, right.at("width"));
      std::string pixels;
      ASSERT_TRUE(absl::Base64Unescape(right.at("base64").get<std::string>(), &pixels));
      EXPECT_EQ(image.pixels, std::vector<uint8_t>(pixels.begin(), pixels.end()));
    }
  }
}

TEST(DecodeImage, OneDecoderReadsImagesOfAllKindsInTurn) {
  const std::string folder = "tests/fixtures/pictures/";
  ImageDecoder decoder;
  DecodedImage image;
  for (int round = 0; round < 2; ++round) {
    for (const char* name : {"plain.jpg", "progressive.jpg", "orientation_6.jpg", "rgba.png",
                             "lossy.webp", "plain.gif", "rgb.bmp", "lzw.tif", "rgb.ppm"}) {
      const std::string bytes = *ReadFile(folder + name);
      ASSERT_TRUE(decoder.Decode(bytes, &image).ok()) << name;
      EXPECT_EQ(image.pixels, Decoded(bytes).pixels) << name;
      // After the error of a truncated image the decoder must still decode the next image.
      EXPECT_FALSE(decoder.Decode(bytes.substr(0, bytes.size() / 2), &image).ok()) << name;
    }
  }
}

TEST(DecodeImage, RefusesTruncationsOfOtherKinds) {
  const std::string folder = "tests/fixtures/pictures/";
  for (const char* name : {"lossy.webp", "lossless.webp", "plain.gif", "rgb.bmp", "palette.bmp",
                           "rgb.tif", "lzw.tif", "rgb.ppm", "grey.pgm"}) {
    const std::string whole = *ReadFile(folder + name);
    const DecodedImage expected = Decoded(whole);
    int refused = 0;
    for (size_t size = 0; size < whole.size(); ++size) {
      const auto image = DecodeImage("x", whole.substr(0, size));
      if (!image.ok()) {
        EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss) << name << " " << size;
        ++refused;
      } else {
        // Some truncated files still have all their pixels: only a GIF's trailer or a TIFF's last
        // tags are missing.
        EXPECT_EQ(image->pixels, expected.pixels) << name << " " << size;
      }
    }
    EXPECT_GT(refused, static_cast<int>(whole.size()) / 2) << name;
  }
}

// Decoding a file with a flipped byte must return an error or an image, and must not crash.
TEST(DecodeImage, SurvivesAFlippedByteOfAnyKind) {
  const std::string folder = "tests/fixtures/pictures/";
  for (const char* name :
       {"lossy.webp", "lossless.webp", "orientation_6.webp", "interlaced.gif", "within_canvas.gif",
        "palette.bmp", "top_down.bmp", "lzw.tif", "palette.tif", "one_bit.tif", "text.ppm",
        "one_bit.pbm", "cmyk.jpg", "progressive.jpg"}) {
    const std::string whole = *ReadFile(folder + name);
    ImageDecoder decoder;
    DecodedImage image;
    for (size_t at = 0; at < whole.size(); at += 1 + whole.size() / 300) {
      for (const int mask : {1, 0x80, 0xff}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ mask);
        const absl::Status status = decoder.Decode(damaged, &image);
        if (status.ok()) {
          EXPECT_EQ(image.pixels.size(), size_t{3} * image.height * image.width);
        } else {
          EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << name << " " << at;
        }
      }
    }
  }
}

TEST(DecodeImage, NamesAKindThatItDoesNotRead) {
  const auto error = [](const std::string& bytes) {
    return std::string(DecodeImage("x", bytes).status().message());
  };
  EXPECT_EQ(error(""), "x: is empty; expected a JPEG, PNG, WebP, GIF, BMP, TIFF, PPM, PGM or PBM");
  EXPECT_THAT(error("<html>"), testing::StartsWith("x: is not an image; expected a JPEG"));
  EXPECT_THAT(error(std::string("\0\0\0\x1c"
                                "ftypavif",
                                12)),
              testing::StartsWith("x: is an AVIF; expected a JPEG"));
}

TEST(DecodeImage, RefusesEveryTruncation) {
  std::vector<uint8_t> pixels(size_t{24} * 20 * 3);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * i / 7);
  std::string rows;
  for (ptrdiff_t y = 0; y < 24; ++y) {
    rows +=
        std::string(1, '\0') + std::string(pixels.begin() + y * 60, pixels.begin() + y * 60 + 60);
  }
  for (const std::string& whole : {Jpeg(24, 20, pixels), Png(24, 20, 8, 2, rows)}) {
    EXPECT_EQ(Decoded(whole).pixels.size(), pixels.size());
    for (size_t size = 0; size < whole.size(); ++size) {
      const auto image = DecodeImage("x", whole.substr(0, size));
      EXPECT_EQ(image.status().code(), absl::StatusCode::kDataLoss)
          << size << " of " << whole.size();
    }
  }
}

TEST(DecodeImage, RefusesAFlippedByteOfAPngOrReadsTheSame) {
  const std::string whole = FlatPng(9, 7, 1, 2, 3);
  const DecodedImage expected = Decoded(whole);
  int refused = 0;
  for (size_t at = 0; at < whole.size(); ++at) {
    for (const int mask : {1, 0x80, 0xff}) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      const auto image = DecodeImage("x", damaged);
      if (image.ok()) {
        EXPECT_EQ(image->pixels, expected.pixels) << at;
      } else {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(DecodeImage, RefusesAHeaderThatAsksForTooMuchMemory) {
  EXPECT_EQ(DecodeImage("x.png", Png(100000, 90000, 8, 2, "")).status().message(),
            "x.png: says that it is 100000x90000 (height x width); at least 1 and at most 67108864 "
            "pixels are read");
  std::string jpeg = FlatJpeg(8, 8, 5);
  // Overwrite height and width in the frame header: marker (2 bytes), length (2), precision (1),
  // height (2), width (2).
  const size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xff\xdc\xff\x01");
  EXPECT_EQ(DecodeImage("x.jpg", jpeg).status().message(),
            "x.jpg: says that it is 65500x65281 (height x width); at least 1 and at most 67108864 "
            "pixels are read");
}

// Each file is small, but its header claims 10^10 pixels or as many as its format can express. The
// decoder must refuse it by the header alone.
TEST(DecodeImage, RefusesBombsOfEveryKindByTheirHeaders) {
  const auto error = [](std::string bytes, size_t at, const std::string& sides) {
    bytes.replace(at, sides.size(), sides);
    return std::string(DecodeImage("x", bytes).status().message());
  };
  const std::string folder = "tests/fixtures/pictures/";
  const std::string most = "(height x width); at least 1 and at most 67108864 pixels are read";
  EXPECT_EQ(error(*ReadFile(folder + "rgb.bmp"), 18, std::string("\xa0\x86\1\0\xa0\x86\1\0", 8)),
            "x: says that it is 100000x100000 " + most);
  EXPECT_EQ(error("P6 100000 100000 255\n", 0, ""), "x: says that it is 100000x100000 " + most);
  EXPECT_EQ(error("P6 99999999999999999999 1 255\n", 0, ""),
            "x: broken PNM: its header or its pixels are not whole");
  // In a GIF first the canvas, then the frame claims the largest size that the format can express.
  EXPECT_EQ(error(*ReadFile(folder + "plain.gif"), 6, "\xff\xff\xff\xff"),
            "x: says that it is 65535x65535 " + most);
  const std::string gif = *ReadFile(folder + "plain.gif");
  const size_t frame = gif.find(std::string(",\0\0\0\0", 5));
  ASSERT_NE(frame, std::string::npos);
  EXPECT_EQ(error(gif, frame + 5, "\xff\xff\xff\xff"), "x: says that it is 65535x65535 " + most);
  // In TIFFs that Pillow wrote, width and height are the first two tags.
  const std::string tiff = *ReadFile(folder + "rgb.tif");
  const auto tag = [&](char id) {
    return tiff.find(std::string({id, '\1', '\4', '\0', '\1', '\0', '\0', '\0'}));
  };
  ASSERT_NE(tag('\0'), std::string::npos);
  ASSERT_NE(tag('\1'), std::string::npos);
  std::string bomb = tiff;
  bomb.replace(tag('\0') + 8, 4, std::string("\xa0\x86\1\0", 4));
  bomb.replace(tag('\1') + 8, 4, std::string("\xa0\x86\1\0", 4));
  EXPECT_EQ(error(bomb, 0, ""), "x: says that it is 100000x100000 " + most);
}

// Returns the pixels of a rectangle of an image.
std::vector<uint8_t> Cut(const DecodedImage& image, const ImageRectangle& part) {
  std::vector<uint8_t> pixels;
  for (int y = part.top; y < part.top + part.height; ++y) {
    const auto begin =
        image.pixels.begin() + (ptrdiff_t{y} * image.width + part.left) * ptrdiff_t{3};
    pixels.insert(pixels.end(), begin, begin + ptrdiff_t{part.width} * 3);
  }
  return pixels;
}

// Calls DecodePart() for `part` and checks that the decoded part covers it.
DecodedImage DecodedPart(ImageDecoder* decoder, const std::string& bytes, const ImageSize& size,
                         const ImageRectangle& part, const ImageSize& resized = {}) {
  DecodedImage image;
  const absl::Status status = decoder->DecodePart(bytes, size, NeededPart{part, resized}, &image);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(image.pixels.size(), size_t{3} * image.height * image.width);
  if (!image.place.has_value()) {
    EXPECT_EQ((ImageSize{image.height, image.width}), size);
    image.place = PartPlace{size};
  }
  const PartPlace& place = *image.place;
  EXPECT_EQ(place.whole, size);
  EXPECT_LE(0, part.top * place.scale - place.top);
  EXPECT_LE(0, part.left * place.scale - place.left);
  EXPECT_LE((part.top + part.height) * place.scale - place.top, image.height);
  EXPECT_LE((part.left + part.width) * place.scale - place.left, image.width);
  return image;
}

ImageRectangle RandomRectangle(const ImageSize& size, std::minstd_rand* random) {
  const auto below = [&](int n) { return static_cast<int>((*random)() % n); };
  ImageRectangle part;
  part.height = 1 + below(size.height);
  part.width = 1 + below(size.width);
  part.top = below(size.height - part.height + 1);
  part.left = below(size.width - part.width + 1);
  return part;
}

std::vector<uint8_t> Noise(const ImageSize& size) {
  std::minstd_rand random;
  std::vector<uint8_t> pixels(size_t{3} * size.height * size.width);
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random() >> 8);
  return pixels;
}

// Encodes an image as JPEG with every subsampling, baseline and progressive, in every orientation,
// and calls `check` with each file and the image's size after turning. `stored`: the size of
// `pixels`.
template <typename Check>
void ForEachKindOfJpeg(const ImageSize& stored, const std::vector<uint8_t>& pixels,
                       const Check& check) {
  for (const char* subsampling : {"4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1", "grey"}) {
    for (const bool progressive : {false, true}) {
      for (int orientation = 1; orientation <= 8; ++orientation) {
        SCOPED_TRACE(absl::StrCat(subsampling, progressive ? " progressive " : " ", orientation));
        check(Jpeg(stored.height, stored.width, pixels, {subsampling, progressive, orientation}),
              orientation < 5 ? stored : ImageSize{stored.width, stored.height});
      }
    }
  }
}

TEST(DecodePart, GivesThePixelsOfTheWholeImageToTheBit) {
  const ImageSize stored = {77, 115};
  std::minstd_rand random;
  ImageDecoder decoder;
  ForEachKindOfJpeg(stored, Noise(stored), [&](const std::string& jpeg, const ImageSize& size) {
    const DecodedImage whole = Decoded(jpeg);
    for (int i = 0; i < 50; ++i) {
      const ImageRectangle part = RandomRectangle(size, &random);
      SCOPED_TRACE(absl::StrCat(part.height, "x", part.width, " at ", part.top, ", ", part.left));
      const DecodedImage image = DecodedPart(&decoder, jpeg, size, part);
      // Exactly the part is decoded, no more.
      ASSERT_EQ(image.height, part.height);
      ASSERT_EQ(image.width, part.width);
      ASSERT_EQ(image.pixels, Cut(whole, part));
    }
  });
}

// If the last scans of a progressive JPEG are missing, libjpeg smooths each block by its
// neighbours. So a part must be decoded from the whole image.
TEST(DecodePart, GivesThePixelsOfTheWholeImageWhereScansAreMissing) {
  const ImageSize size = {77, 115};
  std::minstd_rand random;
  ImageDecoder decoder;
  for (const char* subsampling : {"4:4:4", "4:2:0"}) {
    const std::string jpeg = Jpeg(size.height, size.width, Noise(size), {subsampling, true});
    for (const int eighths : {1, 2, 4, 7}) {
      const std::string cut = jpeg.substr(0, jpeg.size() * eighths / 8) + "\xff\xd9";
      const DecodedImage whole = Decoded(cut);
      EXPECT_FALSE(whole.warning.empty());
      for (int i = 0; i < 100; ++i) {
        const ImageRectangle part = RandomRectangle(size, &random);
        SCOPED_TRACE(absl::StrCat(part.height, "x", part.width, " at ", part.top, ", ", part.left));
        ASSERT_EQ(DecodedPart(&decoder, cut, size, part).pixels, Cut(whole, part)) << eighths;
      }
    }
  }
}

// The fixtures are unusual JPEGs (CMYK, data cut short, stray bytes) and files of formats that are
// always decoded as a whole.
TEST(DecodePart, GivesThePixelsOfTheWholeImageOfEveryFixture) {
  const std::string folder = "tests/fixtures/pictures/";
  ImageDecoder decoder;
  for (const char* name : {"cmyk.jpg", "ycck.jpg", "grey.jpg", "data_cut_before_end_marker.jpg",
                           "stray_bytes.jpg", "orientation_5.jpg", "rgba.png", "lossy.webp",
                           "orientation_6.webp", "plain.gif", "rgb.bmp", "lzw.tif", "rgb.ppm"}) {
    const std::string bytes = *ReadFile(folder + name);
    const DecodedImage whole = Decoded(bytes);
    const ImageSize size = {whole.height, whole.width};
    for (int top = 0; top < size.height; ++top) {
      for (int left = 0; left < size.width; ++left) {
        const ImageRectangle part = {top, left, (size.height - top + 1) / 2,
                                     (size.width - left + 1) / 2};
        const DecodedImage image = DecodedPart(&decoder, bytes, size, part);
        const ImageRectangle here = {part.top - static_cast<int>(image.place->top),
                                     part.left - static_cast<int>(image.place->left), part.height,
                                     part.width};
        ASSERT_EQ(Cut(image, here), Cut(whole, part)) << name << " " << top << " " << left;
      }
    }
  }
}

TEST(DecodePart, ScalesToTheSmallestOfTheScalesThatIsNotSmallerThanTheResult) {
  const ImageSize size = {160, 240};
  const std::string jpeg = Jpeg(size.height, size.width, Noise(size));
  ImageDecoder decoder;
  const auto scale = [&](const ImageRectangle& part, const ImageSize& resized) {
    return DecodedPart(&decoder, jpeg, size, part, resized).place->scale;
  };
  const ImageRectangle all = {0, 0, 160, 240};
  EXPECT_EQ(scale(all, {0, 0}), 1) << "as they are";
  EXPECT_EQ(scale(all, {160, 240}), 1);
  EXPECT_EQ(scale(all, {300, 300}), 1);
  EXPECT_EQ(scale(all, {81, 20}), 1) << "half the height is too little";
  EXPECT_EQ(scale(all, {20, 121}), 1) << "half the width is too little";
  EXPECT_EQ(scale(all, {80, 120}), 0.5);
  EXPECT_EQ(scale(all, {41, 60}), 0.5);
  EXPECT_EQ(scale(all, {40, 60}), 0.25);
  EXPECT_EQ(scale(all, {20, 30}), 0.125);
  EXPECT_EQ(scale(all, {1, 1}), 0.125);
  EXPECT_EQ(scale({3, 5, 79, 120}, {40, 40}), 1) << "the part counts, not the image";
  EXPECT_EQ(scale({3, 5, 80, 120}, {40, 40}), 0.5);
}

TEST(DecodePart, GivesThePixelsOfTheWholeScaledImageToTheBit) {
  const ImageSize stored = {77, 115};
  std::minstd_rand random;
  ImageDecoder decoder;
  ForEachKindOfJpeg(stored, Noise(stored), [&](const std::string& jpeg, const ImageSize& size) {
    for (const int divisor : {2, 4, 8}) {
      const DecodedImage whole = DecodedPart(&decoder, jpeg, size, {0, 0, size.height, size.width},
                                             {size.height / divisor, size.width / divisor});
      ASSERT_EQ(whole.place->scale * divisor, 1);
      ASSERT_EQ(whole.height, (size.height + divisor - 1) / divisor);
      ASSERT_EQ(whole.width, (size.width + divisor - 1) / divisor);
      for (int i = 0; i < 20; ++i) {
        const ImageRectangle part = RandomRectangle(size, &random);
        if (part.height < divisor || part.width < divisor) continue;
        SCOPED_TRACE(absl::StrCat(divisor, ": ", part.height, "x", part.width, " at ", part.top,
                                  ", ", part.left));
        const DecodedImage image =
            DecodedPart(&decoder, jpeg, size, part, {part.height / divisor, part.width / divisor});
        ASSERT_EQ(image.place->scale * divisor, 1);
        // The part lies a whole number of scaled pixels from the edge of the scaled whole image.
        const double top = image.place->top - whole.place->top;
        const double left = image.place->left - whole.place->left;
        ASSERT_EQ(top, std::floor(top));
        ASSERT_EQ(left, std::floor(left));
        ASSERT_EQ(image.pixels, Cut(whole, {static_cast<int>(top), static_cast<int>(left),
                                            image.height, image.width}));
      }
    }
  });
}

// The image's grey value grows by 2 each row and by 1/2 each column, so a pixel's value tells its
// position.
TEST(DecodePart, SaysWhereScaledPixelsLieInTheImage) {
  const ImageSize stored = {77, 115};
  std::vector<uint8_t> pixels;
  for (int y = 0; y < stored.height; ++y) {
    for (int x = 0; x < stored.width; ++x) {
      pixels.insert(pixels.end(), 3, static_cast<uint8_t>(20 + 2 * y + x / 2));
    }
  }
  std::minstd_rand random;
  ImageDecoder decoder;
  ForEachKindOfJpeg(stored, pixels, [&](const std::string& jpeg, const ImageSize& size) {
    const DecodedImage whole = Decoded(jpeg);
    const auto red = [](const DecodedImage& image, double y, double x) {
      return static_cast<double>(
          image.pixels[(static_cast<size_t>(y) * image.width + static_cast<size_t>(x)) * 3]);
    };
    for (const int divisor : {2, 4, 8}) {
      ImageRectangle part = RandomRectangle(size, &random);
      part.height = std::max(part.height, divisor);
      part.width = std::max(part.width, divisor);
      part.top = std::min(part.top, size.height - part.height);
      part.left = std::min(part.left, size.width - part.width);
      const DecodedImage image =
          DecodedPart(&decoder, jpeg, size, part, {part.height / divisor, part.width / divisor});
      ASSERT_EQ(image.place->scale * divisor, 1);
      for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
          // The centre of the scaled pixel, as a position in the whole image.
          const double v = (y + 0.5 + image.place->top) * divisor - 0.5;
          const double u = (x + 0.5 + image.place->left) * divisor - 0.5;
          // Skip pixels near the edge: they are also averages of pixels that JPEG repeats beyond
          // the edge.
          if (v < 4 || u < 4 || v > size.height - 5 || u > size.width - 5) continue;
          const double expected =
              (red(whole, std::floor(v), std::floor(u)) + red(whole, std::ceil(v), std::ceil(u))) /
              2;
          ASSERT_NEAR(red(image, y, x), expected, 1.5) << divisor << ": " << y << " " << x;
        }
      }
    }
  });
}

TEST(DecodePart, RefusesAImageOfAnotherSize) {
  ImageDecoder decoder;
  DecodedImage image;
  EXPECT_EQ(decoder.DecodePart(FlatPng(9, 7, 1, 2, 3), {7, 9}, std::nullopt, &image).message(),
            "is 9x7 (height x width); expected 7x9");
}

TEST(DecodePart, SurvivesAFlippedByte) {
  const ImageSize size = {40, 56};
  std::minstd_rand random;
  ImageDecoder decoder;
  DecodedImage image;
  for (const bool progressive : {false, true}) {
    const std::string whole = Jpeg(size.height, size.width, Noise(size), {"4:2:0", progressive});
    for (size_t at = 0; at < whole.size(); at += 1 + whole.size() / 500) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
      const ImageRectangle part = RandomRectangle(size, &random);
      const absl::Status status = decoder.DecodePart(
          damaged, size, NeededPart{part, {part.height / 3, part.width / 3}}, &image);
      if (status.ok()) {
        EXPECT_EQ(image.pixels.size(), size_t{3} * image.height * image.width);
      } else {
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << at;
      }
    }
  }
}

}  // namespace
}  // namespace finetune
