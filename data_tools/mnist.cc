#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "data_tools/archive.h"
#include "data_tools/converters.h"
#include "src/base/annotate.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

// An idx file of bytes: two zero bytes, type 8, the number of dimensions, each dimension as a
// big-endian uint32, the data.
struct Idx {
  std::vector<uint32_t> shape;
  absl::string_view data;
};

absl::StatusOr<Idx> ParseIdx(const std::string& name, absl::string_view bytes, size_t dimensions) {
  const size_t header = 4 + 4 * dimensions;
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  if (bytes.size() < header)
    return absl::DataLossError(
        absl::StrCat(name, ": its header of ", header, " bytes is cut short"));
  if (at(0) != 0 || at(1) != 0 || at(2) != 8 || at(3) != dimensions) {
    return absl::DataLossError(absl::StrFormat(
        "%s: byte 0: is no idx file of bytes with %d dimensions (it starts %02x%02x%02x%02x)", name,
        dimensions, at(0), at(1), at(2), at(3)));
  }
  Idx idx;
  uint64_t size = 1;
  for (size_t d = 0; d < dimensions; ++d) {
    const size_t i = 4 + 4 * d;
    idx.shape.push_back(uint32_t{at(i)} << 24 | uint32_t{at(i + 1)} << 16 |
                        uint32_t{at(i + 2)} << 8 | at(i + 3));
    if (__builtin_mul_overflow(size, uint64_t{idx.shape.back()}, &size)) size = UINT64_MAX;
  }
  idx.data = bytes.substr(header);
  if (idx.data.size() != size) {
    return absl::DataLossError(absl::StrCat(name, ": has ", idx.data.size(), " bytes after byte ",
                                            header, "; its header says ", size));
  }
  return idx;
}

}  // namespace

absl::Status ConvertMnist(const ConvertOptions& options) {
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
    FT_ASSIGN_OR_RETURN(Idx image, ParseIdx(absl::StrCat(options.input, ": ", part.images),
                                            files.at(part.images), 3));
    FT_ASSIGN_OR_RETURN(Idx label, ParseIdx(absl::StrCat(options.input, ": ", part.labels),
                                            files.at(part.labels), 1));
    if (image.shape[0] != label.shape[0]) {
      return absl::DataLossError(absl::StrCat(options.input, ": ", part.images, " has ",
                                              image.shape[0], " pictures and ", part.labels, " ",
                                              label.shape[0], " labels"));
    }
    if (!images.empty() &&
        (image.shape[1] != images[0].shape[1] || image.shape[2] != images[0].shape[2])) {
      return absl::DataLossError(
          absl::StrCat(options.input, ": the pictures of the splits differ in size"));
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
  for (int i = 0; i < 10; ++i) build.class_names.push_back(absl::StrCat(i));
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
      FT_RETURN_IF_ERROR(Annotate(
          builder.Add({pixels + i * bytes, bytes}, static_cast<uint8_t>(labels[p].data[i])),
          absl::StrCat(options.input, ": ", parts[p].labels, ": byte ", 8 + i)));
    }
  }
  return builder.Finish();
}

}  // namespace finetune
