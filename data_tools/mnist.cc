#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "data_tools/archive.h"
#include "data_tools/builder_options.h"
#include "data_tools/converters.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

// The six variants of EMNIST, which its authors call splits. Their files are named
// "emnist-SPLIT-...".
constexpr std::array<absl::string_view, 6> kEmnist = {"balanced", "byclass", "bymerge",
                                                      "digits",   "letters", "mnist"};
// The number of bytes before the first label in a file of labels.
constexpr size_t kLabelHeader = 8;

// An idx file of uint8 values. It has two zero bytes, the byte 8 (the type uint8), the number of
// dimensions in one byte, the length of each dimension as a big-endian uint32, and the data.
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
        "%s: byte 0: starts %02x%02x%02x%02x; expected an idx file of bytes with %d dimensions "
        "(000008%02x)",
        file.where, at(0), at(1), at(2), at(3), dimensions, dimensions));
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

// The names of the files of MNIST or of a split of EMNIST.
struct Names {
  struct Split {
    const char* name;
    std::string images, labels;
  };
  std::array<Split, 2> splits;
  // The name of EMNIST's mapping file; empty for MNIST. Each of its lines has a label and the ASCII
  // code of the character that the label means.
  std::string mapping;
};

// Returns the ways in which the files may be named. `prefix`: "emnist-SPLIT-", or empty for MNIST.
// MNIST calls its test split "t10k", EMNIST calls it "test". In some copies there is a dot instead
// of the dash before "idx".
std::vector<Names> PossibleNames(const std::string& prefix) {
  std::vector<Names> names;
  for (const char* separator : {"-", "."}) {
    for (const char* test : {"t10k", "test"}) {
      const auto split = [&](const char* name, const char* start) {
        return Names::Split{name, absl::StrCat(prefix, start, "-images", separator, "idx3-ubyte"),
                            absl::StrCat(prefix, start, "-labels", separator, "idx1-ubyte")};
      };
      names.push_back({{split("train", "train"), split("test", test)},
                       prefix.empty() ? "" : prefix + "mapping.txt"});
    }
  }
  return names;
}

bool HasAny(const Names& names, const std::vector<std::string>& files) {
  return absl::c_any_of(names.splits, [&](const Names::Split& split) {
    return absl::c_linear_search(files, split.images) || absl::c_linear_search(files, split.labels);
  });
}

bool HasAll(const Names& names, const std::vector<std::string>& files) {
  return absl::c_all_of(names.splits, [&](const Names::Split& split) {
    return absl::c_linear_search(files, split.images) && absl::c_linear_search(files, split.labels);
  });
}

// Returns the names of the files to read, given the names `files` that exist. `emnist`: the split
// of EMNIST. If it is empty, these are MNIST's files if they exist, otherwise those of the only
// split of EMNIST that exists.
absl::StatusOr<Names> ChooseNames(const std::string& input, const std::string& emnist,
                                  const std::vector<std::string>& files) {
  std::vector<std::string> prefixes;
  if (emnist.empty()) prefixes.emplace_back();
  std::vector<std::string> found;
  for (const absl::string_view split : kEmnist) {
    if (emnist.empty() || emnist == split) prefixes.push_back(absl::StrCat("emnist-", split, "-"));
  }
  std::vector<Names> chosen;
  for (const std::string& prefix : prefixes) {
    const std::vector<Names> possible = PossibleNames(prefix);
    auto names = absl::c_find_if(possible, [&](const auto& n) { return HasAll(n, files); });
    // If some files are missing, the existing ones show how the others must be named, so that the
    // error names the right file.
    if (names == possible.end()) {
      names = absl::c_find_if(possible, [&](const auto& n) { return HasAny(n, files); });
    }
    if (names == possible.end()) continue;
    chosen.push_back(*names);
    if (prefix.empty()) break;
    found.push_back(prefix.substr(7, prefix.size() - 8));
  }
  if (chosen.size() > 1) {
    return absl::InvalidArgumentError(absl::StrCat(input, ": has EMNIST's splits ",
                                                   absl::StrJoin(found, ", "),
                                                   "; choose one with --emnist=", found[0]));
  }
  return chosen.empty() ? PossibleNames(prefixes[0])[emnist.empty() ? 0 : 1] : chosen[0];
}

// The images and labels of the training or test split.
struct Part {
  Idx images, labels;
};

absl::StatusOr<Part> ReadPart(const std::string& input, const Names::Split& names,
                              const std::map<std::string, NamedFile>& files) {
  for (const std::string& name : {names.images, names.labels}) {
    if (files.contains(name)) continue;
    return absl::NotFoundError(absl::StrCat("no ", name, " or ", name, ".gz in ", input));
  }
  const NamedFile& image_file = files.at(names.images);
  const NamedFile& label_file = files.at(names.labels);
  Part part;
  FT_ASSIGN_OR_RETURN(part.images, ParseIdx(image_file, 3));
  FT_ASSIGN_OR_RETURN(part.labels, ParseIdx(label_file, 1));
  if (part.images.shape[0] != part.labels.shape[0]) {
    return absl::DataLossError(absl::StrCat(image_file.where, " has ", part.images.shape[0],
                                            " images and ", label_file.where, " ",
                                            part.labels.shape[0], " labels"));
  }
  return part;
}

// The names of the classes. Class i has the label first + i in the files.
struct Classes {
  int first = 0;
  std::vector<std::string> names;

  int last() const { return first + static_cast<int>(names.size()) - 1; }
};

// Returns EMNIST's classes, whose names are the characters in its mapping file. Errors: DataLoss if
// the labels are not consecutive.
absl::StatusOr<Classes> ReadMapping(const NamedFile& mapping) {
  Classes classes;
  for (const absl::string_view line :
       absl::StrSplit(mapping.bytes, absl::ByAnyChar("\r\n"), absl::SkipWhitespace())) {
    // A line has a label, the code of its character, and in some splits a second code for the
    // lower-case character, which is not used.
    const std::vector<absl::string_view> parts =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipWhitespace());
    int label = 0, code = 0;
    const bool read = parts.size() >= 2 && absl::SimpleAtoi(parts[0], &label) &&
                      absl::SimpleAtoi(parts[1], &code) && code > ' ' && code <= '~';
    if (read && classes.names.empty()) classes.first = label;
    if (!read || label != classes.last() + 1) {
      return absl::DataLossError(absl::StrCat(mapping.where, ": found \"", line,
                                              "\"; expected a label and a character's code, label ",
                                              classes.last() + 1, " next"));
    }
    classes.names.emplace_back(1, static_cast<char>(code));
  }
  if (classes.names.empty()) return absl::DataLossError(absl::StrCat(mapping.where, ": is empty"));
  return classes;
}

// Returns the classes if there is no mapping file. If no training label is above 9, these are the
// ten digits. Otherwise they are all labels from 0 (or from 1 if no image has label 0) to the
// largest. Errors: DataLoss if a label is above 9 and one of the labels below it has no image;
// otherwise a single damaged label would make many empty classes.
absl::StatusOr<Classes> ShownClasses(const NamedFile& file, absl::string_view labels) {
  std::array<int64_t, 256> count = {};
  for (const char label : labels) ++count[static_cast<uint8_t>(label)];
  int last = 255;
  while (count[last] == 0) --last;
  Classes classes;
  if (last > 9 && count[0] == 0) classes.first = 1;
  for (int label = classes.first; label <= std::max(last, 9); ++label) {
    if (last > 9 && count[label] == 0) {
      return absl::DataLossError(
          absl::StrCat(file.where, ": byte ", kLabelHeader + labels.find(static_cast<char>(last)),
                       ": label ", last, ", and no image has label ", label,
                       "; expected labels 0 to 9, or every label up to the largest"));
    }
    classes.names.push_back(absl::StrCat(label));
  }
  return classes;
}

}  // namespace

absl::Status ConvertMnist(const ConvertOptions& options, const MnistOptions& mnist) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  FT_ASSIGN_OR_RETURN(const std::vector<std::string> there, ListFileNames(options.input));
  FT_ASSIGN_OR_RETURN(const Names names, ChooseNames(options.input, mnist.emnist, there));
  std::vector<std::string> wanted;
  for (const Names::Split& split : names.splits) {
    wanted.push_back(split.images);
    wanted.push_back(split.labels);
  }
  if (!names.mapping.empty()) wanted.push_back(names.mapping);
  FT_ASSIGN_OR_RETURN(const auto files, ReadNamedFiles(options.input, wanted));

  std::vector<Part> parts;
  Classes classes;
  for (const Names::Split& split : names.splits) {
    FT_ASSIGN_OR_RETURN(Part part, ReadPart(options.input, split, files));
    const std::vector<uint32_t>& shape = part.images.shape;
    const NamedFile& labels = files.at(split.labels);
    if (parts.empty()) {
      const auto mapping = files.find(names.mapping);
      FT_ASSIGN_OR_RETURN(classes, mapping == files.end() ? ShownClasses(labels, part.labels.data)
                                                          : ReadMapping(mapping->second));
    } else if (const std::vector<uint32_t>& before = parts[0].images.shape;
               shape[1] != before[1] || shape[2] != before[2]) {
      return absl::DataLossError(absl::StrCat(
          files.at(split.images).where, ": its images are ", shape[1], "x", shape[2],
          " and those of the split before ", before[1], "x", before[2], " (height x width)"));
    }
    for (size_t i = 0; i < part.labels.data.size(); ++i) {
      const int label = static_cast<uint8_t>(part.labels.data[i]);
      if (label >= classes.first && label <= classes.last()) continue;
      return absl::DataLossError(absl::StrCat(labels.where, ": byte ", kLabelHeader + i, ": label ",
                                              label, "; expected ", classes.first, " to ",
                                              classes.last()));
    }
    parts.push_back(std::move(part));
  }

  DatasetBuilder::Options build = BuilderOptions(options);
  const bool emnist = !names.mapping.empty();
  build.name = emnist ? names.mapping.substr(0, names.mapping.rfind('-')) : "mnist";
  build.class_names = classes.names;
  const size_t height = parts[0].images.shape[1], width = parts[0].images.shape[2];
  if (emnist && !mnist.transpose && options.warn) {
    options.warn(
        "EMNIST stores its images transposed, and they are kept so, as torchvision keeps them; "
        "--transpose turns them upright");
  }
  build.height = static_cast<int>(mnist.transpose ? width : height);
  build.width = static_cast<int>(mnist.transpose ? height : width);
  build.channels = 1;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(std::move(build)));
  std::vector<uint8_t> turned(height * width);
  for (size_t p = 0; p < parts.size(); ++p) {
    const Part& part = parts[p];
    FT_RETURN_IF_ERROR(builder.BeginSplit(names.splits[p].name, part.images.shape[0]));
    const auto* pixels = reinterpret_cast<const uint8_t*>(part.images.data.data());
    for (const char label : part.labels.data) {
      absl::Span<const uint8_t> image(pixels, turned.size());
      if (mnist.transpose) {
        for (size_t y = 0; y < height; ++y) {
          for (size_t x = 0; x < width; ++x) turned[x * height + y] = pixels[y * width + x];
        }
        image = turned;
      }
      FT_RETURN_IF_ERROR(builder.Add(image, static_cast<uint8_t>(label) - classes.first));
      pixels += turned.size();
    }
  }
  return builder.Finish();
}

}  // namespace finetune
