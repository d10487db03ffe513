#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "data_tools/archive.h"
#include "data_tools/builder_options.h"
#include "data_tools/converters.h"
#include "src/base/annotate.h"
#include "src/checkpoint/pickle.h"
#include "src/data/builder.h"

namespace finetune {
namespace {

constexpr int kSide = 32;
constexpr int kChannels = 3;
constexpr size_t kPlane = size_t{kSide} * kSide;
constexpr size_t kPixels = kPlane * kChannels;

// The names of the files of one version (binary or Python) of a data set.
struct Version {
  std::vector<std::string> train, test;
  // The file with the names of the classes.
  std::string meta;
};

// The names of the files of CIFAR-10 or CIFAR-100, and what they contain.
struct Layout {
  std::string name;
  Version binary, python;
  // A record of the binary version begins with one byte for each element of `labels`; byte i must
  // be below labels[i]. The last of these bytes is the class.
  std::vector<int> labels;
  // The keys of the labels and of the class names in the dicts of the Python version.
  std::string labels_key, names_key;

  int classes() const { return labels.back(); }
};

using Files = std::map<std::string, NamedFile>;

// The labels of one file's images, and the images as planes of red, green and blue, [n, 3, 32, 32].
struct Records {
  std::vector<uint8_t> labels;
  std::string planes;
};

// Reads a file of the binary version. Errors: DataLoss that names the file, the record and the
// byte.
absl::StatusOr<Records> ReadBinary(const NamedFile& file, const Layout& layout) {
  const absl::string_view bytes = file.bytes;
  const size_t labels = layout.labels.size(), record = labels + kPixels;
  if (bytes.empty()) return absl::DataLossError(absl::StrCat(file.where, ": is empty"));
  const size_t whole = bytes.size() / record;
  if (bytes.size() % record != 0) {
    return absl::DataLossError(
        absl::StrCat(file.where, ": record ", whole, " at byte ", whole * record,
                     " is cut short: ", bytes.size() - whole * record, " of ", record, " bytes"));
  }
  Records records;
  records.planes.reserve(whole * kPixels);
  for (size_t i = 0; i < whole; ++i) {
    const absl::string_view at = bytes.substr(i * record, record);
    for (size_t k = 0; k < labels; ++k) {
      const auto label = static_cast<uint8_t>(at[k]);
      if (label < layout.labels[k]) continue;
      return absl::DataLossError(absl::StrCat(file.where, ": record ", i, " at byte ",
                                              i * record + k, ": label ", label, "; expected 0 to ",
                                              layout.labels[k] - 1));
    }
    records.labels.push_back(static_cast<uint8_t>(at[labels - 1]));
    records.planes.append(at.data() + labels, kPixels);
  }
  return records;
}

// Parses a file of the Python version, which is a pickled dict. Calls read(graph, item), where
// `item` is the dict's value for `key`. Errors: DataLoss with the file's name.
template <typename Read>
absl::Status ReadPickled(const NamedFile& file, const std::string& key, Read read) {
  const auto broken = [&](const absl::Status& status) {
    return absl::DataLossError(absl::StrCat(file.where, ": ", status.message()));
  };
  PickleGraph::Limits limits;
  limits.writer = "CIFAR's Python version";
  const absl::StatusOr<PickleGraph> graph = PickleGraph::Parse(file.bytes, limits);
  if (!graph.ok()) return broken(graph.status());
  const PickleGraph::Item* value = FindTextOrBytes(*graph, graph->root(), key);
  if (value == nullptr) {
    return broken(absl::NotFoundError(absl::StrCat("expected a pickled dict with \"", key, "\"")));
  }
  const absl::Status status = read(*graph, *value);
  return status.ok() ? status : broken(Annotate(status, key));
}

// Reads a file of the Python version, which Python 2 or 3 has pickled. Errors: DataLoss that names
// the file and the key.
absl::StatusOr<Records> ReadPython(const NamedFile& file, const Layout& layout) {
  Records records;
  FT_RETURN_IF_ERROR(ReadPickled(file, "data", [&](const auto& graph, const auto& item) {
    absl::StatusOr<ByteArray> array = GetByteArray(graph, item);
    if (!array.ok()) return array.status();
    if (array->shape.size() != 2 || array->shape[0] == 0 ||
        array->shape[1] != static_cast<int64_t>(kPixels)) {
      return absl::DataLossError(absl::StrCat("is [", absl::StrJoin(array->shape, ", "),
                                              "]; expected [images, ", kPixels, "]"));
    }
    records.planes = std::move(array->bytes);
    return absl::OkStatus();
  }));
  const size_t images = records.planes.size() / kPixels;
  FT_RETURN_IF_ERROR(ReadPickled(
      file, layout.labels_key, [&](const PickleGraph& graph, const auto& item) -> absl::Status {
        const PickleGraph::Node* list = graph.Get(item, PickleGraph::Kind::kList);
        if (list == nullptr || list->items.size() != images) {
          return absl::DataLossError(absl::StrCat("expected a list of ", images, " labels"));
        }
        for (const PickleGraph::Item& one : list->items) {
          const int64_t* label = std::get_if<int64_t>(&one);
          if (label == nullptr || *label < 0 || *label >= layout.classes()) {
            return absl::DataLossError(
                absl::StrCat("label ", records.labels.size(), " is ",
                             label == nullptr ? "not a whole number" : absl::StrCat(*label),
                             "; expected 0 to ", layout.classes() - 1));
          }
          records.labels.push_back(static_cast<uint8_t>(*label));
        }
        return absl::OkStatus();
      }));
  return records;
}

// Returns the class names in a meta file. The binary version has a name on each line, the Python
// version a pickled list.
absl::StatusOr<std::vector<std::string>> ReadNames(const NamedFile& file, const Layout& layout,
                                                   bool python) {
  std::vector<std::string> names;
  if (python) {
    FT_RETURN_IF_ERROR(ReadPickled(
        file, layout.names_key, [&](const PickleGraph& graph, const auto& item) -> absl::Status {
          const PickleGraph::Node* list = graph.Get(item, PickleGraph::Kind::kList);
          if (list == nullptr) return absl::DataLossError("expected a list of names");
          for (const PickleGraph::Item& one : list->items) {
            const PickleGraph::Node* name = graph.Get(one);
            if (name == nullptr || (name->kind != PickleGraph::Kind::kString &&
                                    name->kind != PickleGraph::Kind::kBytes &&
                                    name->kind != PickleGraph::Kind::kLatin1)) {
              return absl::DataLossError("expected a list of names");
            }
            names.emplace_back(name->text);
          }
          return absl::OkStatus();
        }));
  } else {
    for (absl::string_view line :
         absl::StrSplit(file.bytes, absl::ByAnyChar("\r\n"), absl::SkipWhitespace())) {
      names.emplace_back(absl::StripAsciiWhitespace(line));
    }
  }
  if (static_cast<int>(names.size()) != layout.classes()) {
    return absl::DataLossError(
        absl::StrCat(file.where, ": has ", names.size(), " names; expected ", layout.classes()));
  }
  return names;
}

absl::Status AddRecords(const Records& records, DatasetBuilder* builder) {
  std::vector<uint8_t> pixels(kPixels);
  for (size_t i = 0; i < records.labels.size(); ++i) {
    const auto* planes = reinterpret_cast<const uint8_t*>(records.planes.data()) + i * kPixels;
    for (size_t p = 0; p < kPlane; ++p) {
      for (int c = 0; c < kChannels; ++c) pixels[p * kChannels + c] = planes[c * kPlane + p];
    }
    FT_RETURN_IF_ERROR(builder->Add(pixels, records.labels[i]));
  }
  return absl::OkStatus();
}

absl::Status Convert(const Layout& layout, const ConvertOptions& options) {
  FT_RETURN_IF_ERROR(DatasetBuilder::CheckFolder(options.output, options.force));
  std::vector<std::string> wanted;
  for (const Version* version : {&layout.binary, &layout.python}) {
    wanted.insert(wanted.end(), version->train.begin(), version->train.end());
    wanted.insert(wanted.end(), version->test.begin(), version->test.end());
    wanted.push_back(version->meta);
  }
  FT_ASSIGN_OR_RETURN(Files files, ReadNamedFiles(options.input, wanted));
  const auto has_any = [&](const Version& version) {
    for (const auto* names : {&version.train, &version.test}) {
      for (const std::string& name : *names) {
        if (files.contains(name)) return true;
      }
    }
    return false;
  };
  const bool python = !has_any(layout.binary) && has_any(layout.python);
  const Version& version = python ? layout.python : layout.binary;

  // Reads the files `names` of one split. The bytes of a file are freed once it has been parsed.
  const auto read =
      [&](const std::vector<std::string>& names) -> absl::StatusOr<std::vector<Records>> {
    std::vector<Records> all;
    for (const std::string& name : names) {
      const auto found = files.find(name);
      if (found == files.end()) {
        return absl::NotFoundError(absl::StrCat(
            "no ", name, " in ", options.input, "; expected ", layout.name, "'s binary version (",
            layout.binary.train[0], " and the others) or its Python version (",
            layout.python.train[0], " and the others): a folder with it, or the .tar.gz"));
      }
      FT_ASSIGN_OR_RETURN(Records records, python ? ReadPython(found->second, layout)
                                                  : ReadBinary(found->second, layout));
      all.push_back(std::move(records));
      files.erase(found);
    }
    return all;
  };
  FT_ASSIGN_OR_RETURN(const std::vector<Records> train, read(version.train));
  FT_ASSIGN_OR_RETURN(const std::vector<Records> test, read(version.test));

  DatasetBuilder::Options build = BuilderOptions(options);
  build.name = layout.name;
  if (const auto meta = files.find(version.meta); meta != files.end()) {
    FT_ASSIGN_OR_RETURN(build.class_names, ReadNames(meta->second, layout, python));
  } else {
    for (int i = 0; i < layout.classes(); ++i) build.class_names.push_back(absl::StrCat(i));
  }
  build.height = build.width = kSide;
  build.channels = kChannels;
  FT_ASSIGN_OR_RETURN(DatasetBuilder builder, DatasetBuilder::Create(std::move(build)));
  for (const auto& [name, split] : {std::pair("train", &train), std::pair("test", &test)}) {
    int64_t count = 0;
    for (const Records& records : *split) count += static_cast<int64_t>(records.labels.size());
    FT_RETURN_IF_ERROR(builder.BeginSplit(name, count));
    for (const Records& records : *split) FT_RETURN_IF_ERROR(AddRecords(records, &builder));
  }
  return builder.Finish();
}

}  // namespace

absl::Status ConvertCifar10(const ConvertOptions& options) {
  Layout layout;
  layout.name = "cifar10";
  layout.binary = {{"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                    "data_batch_5.bin"},
                   {"test_batch.bin"},
                   "batches.meta.txt"};
  layout.python = {{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5"},
                   {"test_batch"},
                   "batches.meta"};
  layout.labels = {10};
  layout.labels_key = "labels";
  layout.names_key = "label_names";
  return Convert(layout, options);
}

absl::Status ConvertCifar100(const ConvertOptions& options) {
  Layout layout;
  layout.name = "cifar100";
  layout.binary = {{"train.bin"}, {"test.bin"}, "fine_label_names.txt"};
  layout.python = {{"train"}, {"test"}, "meta"};
  // A record has a coarse label (0 to 19) and a fine label (0 to 99). The fine label is the class.
  layout.labels = {20, 100};
  layout.labels_key = "fine_labels";
  layout.names_key = "fine_label_names";
  return Convert(layout, options);
}

}  // namespace finetune
