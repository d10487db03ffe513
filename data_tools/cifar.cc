#include <map>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "data_tools/archive.h"
#include "data_tools/converters.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

constexpr int kSide = 32;
constexpr int kChannels = 3;
constexpr size_t kPlane = size_t{kSide} * kSide;

// One of the two data sets.
struct Layout {
  std::string name;
  std::vector<std::string> train_files, test_files;
  std::string names_file;
  // How many values each of the bytes before the pixels has; the last of them is the label.
  std::vector<int> labels;
};

absl::StatusOr<std::vector<std::string>> ClassNames(const std::map<std::string, NamedFile>& files,
                                                    const Layout& layout) {
  const int classes = layout.labels.back();
  std::vector<std::string> names;
  const auto found = files.find(layout.names_file);
  if (found == files.end()) {
    for (int i = 0; i < classes; ++i) names.push_back(absl::StrCat(i));
    return names;
  }
  for (absl::string_view line :
       absl::StrSplit(found->second.bytes, absl::ByAnyChar("\r\n"), absl::SkipWhitespace())) {
    names.emplace_back(absl::StripAsciiWhitespace(line));
  }
  if (static_cast<int>(names.size()) != classes) {
    return absl::DataLossError(
        absl::StrCat(found->second.where, ": has ", names.size(), " names; expected ", classes));
  }
  return names;
}

// The number of records in a file of them.
absl::StatusOr<int64_t> CountRecords(const NamedFile& file, size_t record) {
  const size_t size = file.bytes.size();
  if (size == 0) return absl::DataLossError(absl::StrCat(file.where, ": is empty"));
  if (size % record == 0) return static_cast<int64_t>(size / record);
  const size_t whole = size / record;
  return absl::DataLossError(absl::StrCat(file.where, ": record ", whole, " at byte ",
                                          whole * record, " is cut short: ", size - whole * record,
                                          " of ", record, " bytes"));
}

absl::Status AddRecords(const NamedFile& file, const std::vector<int>& labels,
                        DatasetBuilder* builder) {
  const size_t record = labels.size() + kPlane * kChannels;
  std::vector<uint8_t> pixels(kPlane * kChannels);
  for (size_t i = 0; i * record < file.bytes.size(); ++i) {
    const auto* at = reinterpret_cast<const uint8_t*>(file.bytes.data()) + i * record;
    for (size_t k = 0; k < labels.size(); ++k) {
      if (at[k] < labels[k]) continue;
      return absl::DataLossError(absl::StrCat(file.where, ": record ", i, " at byte ",
                                              i * record + k, ": label ", at[k], "; expected 0 to ",
                                              labels[k] - 1));
    }
    const uint8_t* planes = at + labels.size();
    for (size_t p = 0; p < kPlane; ++p) {
      for (int c = 0; c < kChannels; ++c) pixels[p * kChannels + c] = planes[c * kPlane + p];
    }
    FT_RETURN_IF_ERROR(builder->Add(pixels, at[labels.size() - 1]));
  }
  return absl::OkStatus();
}

absl::Status Convert(const Layout& layout, const ConvertOptions& options) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  std::vector<std::string> wanted = layout.train_files;
  wanted.insert(wanted.end(), layout.test_files.begin(), layout.test_files.end());
  wanted.push_back(layout.names_file);
  FT_ASSIGN_OR_RETURN(const auto files, ReadNamedFiles(options.input, wanted));
  const auto count = [&](const std::vector<std::string>& names) -> absl::StatusOr<int64_t> {
    int64_t total = 0;
    for (const std::string& name : names) {
      const auto found = files.find(name);
      if (found == files.end()) {
        return absl::NotFoundError(
            absl::StrCat("no ", name, " in ", options.input, "; expected ", layout.name,
                         "'s binary version: a folder with it, or the .tar.gz"));
      }
      FT_ASSIGN_OR_RETURN(const int64_t records,
                          CountRecords(found->second, layout.labels.size() + kPlane * kChannels));
      total += records;
    }
    return total;
  };
  FT_ASSIGN_OR_RETURN(const int64_t train, count(layout.train_files));
  FT_ASSIGN_OR_RETURN(const int64_t test, count(layout.test_files));

  DatasetBuilder::Options build;
  build.folder = options.output;
  build.force = options.force;
  build.shards = options.shards;
  build.name = layout.name;
  build.source = options.input;
  FT_ASSIGN_OR_RETURN(build.class_names, ClassNames(files, layout));
  build.height = build.width = kSide;
  build.channels = kChannels;
  build.progress = options.progress;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(build));
  FT_RETURN_IF_ERROR(builder.BeginSplit("train", train));
  for (const std::string& name : layout.train_files) {
    FT_RETURN_IF_ERROR(AddRecords(files.at(name), layout.labels, &builder));
  }
  FT_RETURN_IF_ERROR(builder.BeginSplit("test", test));
  for (const std::string& name : layout.test_files) {
    FT_RETURN_IF_ERROR(AddRecords(files.at(name), layout.labels, &builder));
  }
  return builder.Finish();
}

}  // namespace

absl::Status ConvertCifar10(const ConvertOptions& options) {
  return Convert({"cifar10",
                  {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                   "data_batch_5.bin"},
                  {"test_batch.bin"},
                  "batches.meta.txt",
                  {10}},
                 options);
}

absl::Status ConvertCifar100(const ConvertOptions& options) {
  // A record has a coarse and a fine label; the fine ones are the classes.
  return Convert({"cifar100", {"train.bin"}, {"test.bin"}, "fine_label_names.txt", {20, 100}},
                 options);
}

}  // namespace finetune
