#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data_tools/archive.h"
#include "data_tools/converters.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

constexpr int kClasses = 10;
// Bytes before the labels.
constexpr size_t kLabelHeader = 8;

// An idx file of bytes: two zero bytes, type 8, the number of dimensions, each dimension as a
// big-endian uint32, the data.
struct Idx {
  std::vector<uint32_t> shape;
  absl::string_view data;
};

absl::StatusOr<Idx> ParseIdx(const NamedFile& file, size_t dimensions) {
  const absl::string_view bytes = file.bytes;
  const size_t header = 4 + 4 * dimensions;
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  if (bytes.size() < header) {
    return absl::DataLossError(absl::StrCat(file.where, ": broken off at byte ", bytes.size(),
                                            " of its header's ", header));
  }
  if (at(0) != 0 || at(1) != 0 || at(2) != 8 || at(3) != dimensions) {
    return absl::DataLossError(absl::StrFormat(
        "%s: byte 0: is no idx file of bytes with %d dimensions (it starts %02x%02x%02x%02x)",
        file.where, dimensions, at(0), at(1), at(2), at(3)));
  }
  Idx idx;
  uint64_t size = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    const size_t i = 4 + 4 * d;
    idx.shape.push_back(uint32_t{at(i)} << 24 | uint32_t{at(i + 1)} << 16 |
                        uint32_t{at(i + 2)} << 8 | at(i + 3));
    if (idx.shape.back() == 0) {
      return absl::DataLossError(
          absl::StrCat(file.where, ": byte ", i, ": dimension ", d, " is 0"));
    }
    if (__builtin_mul_overflow(size, uint64_t{idx.shape.back()}, &size)) size = UINT64_MAX;
  }
  idx.data = bytes.substr(header);
  if (idx.data.size() != size) {
    return absl::DataLossError(absl::StrCat(file.where, ": has ", idx.data.size(),
                                            " bytes after byte ", header, "; its header says ",
                                            size));
  }
  return idx;
}

}  // namespace

absl::Status ConvertMnist(const ConvertOptions& options) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  struct Part {
    const char* split;
    std::string images, labels;
  };
  const std::vector<Part> parts = {{"train", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
                                   {"test", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"}};
  std::vector<std::string> wanted;
  for (const Part& part : parts) {
    wanted.push_back(part.images);
    wanted.push_back(part.labels);
  }
  FT_ASSIGN_OR_RETURN(const auto files, ReadNamedFiles(options.input, wanted));
  std::vector<Idx> images, labels;
  for (const Part& part : parts) {
    for (const std::string& name : {part.images, part.labels}) {
      if (!files.contains(name)) {
        return absl::NotFoundError(
            absl::StrCat("no ", name, " or ", name, ".gz in ", options.input));
      }
    }
    const NamedFile& image_file = files.at(part.images);
    const NamedFile& label_file = files.at(part.labels);
    FT_ASSIGN_OR_RETURN(Idx image, ParseIdx(image_file, 3));
    FT_ASSIGN_OR_RETURN(Idx label, ParseIdx(label_file, 1));
    if (image.shape[0] != label.shape[0]) {
      return absl::DataLossError(absl::StrCat(image_file.where, " has ", image.shape[0],
                                              " pictures and ", label_file.where, " ",
                                              label.shape[0], " labels"));
    }
    if (!images.empty() &&
        (image.shape[1] != images[0].shape[1] || image.shape[2] != images[0].shape[2])) {
      return absl::DataLossError(absl::StrCat(
          image_file.where, ": its pictures are ", image.shape[1], "x", image.shape[2],
          " and those of the split before ", images[0].shape[1], "x", images[0].shape[2]));
    }
    for (size_t i = 0; i < label.data.size(); ++i) {
      const int value = static_cast<uint8_t>(label.data[i]);
      if (value < kClasses) continue;
      return absl::DataLossError(absl::StrCat(label_file.where, ": byte ", kLabelHeader + i,
                                              ": label ", value, "; expected 0 to ", kClasses - 1));
    }
    images.push_back(std::move(image));
    labels.push_back(std::move(label));
  }

  DatasetBuilder::Options build;
  build.folder = options.output;
  build.force = options.force;
  build.shards = options.shards;
  build.name = "mnist";
  build.source = options.input;
  for (int i = 0; i < kClasses; ++i) build.class_names.push_back(absl::StrCat(i));
  build.height = static_cast<int>(images[0].shape[1]);
  build.width = static_cast<int>(images[0].shape[2]);
  build.channels = 1;
  build.progress = options.progress;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(build));
  const size_t bytes = size_t{images[0].shape[1]} * images[0].shape[2];
  for (size_t p = 0; p < parts.size(); ++p) {
    FT_RETURN_IF_ERROR(builder.BeginSplit(parts[p].split, images[p].shape[0]));
    const auto* pixels = reinterpret_cast<const uint8_t*>(images[p].data.data());
    for (size_t i = 0; i < images[p].shape[0]; ++i) {
      FT_RETURN_IF_ERROR(
          builder.Add({pixels + i * bytes, bytes}, static_cast<uint8_t>(labels[p].data[i])));
    }
  }
  return builder.Finish();
}

}  // namespace finetune
