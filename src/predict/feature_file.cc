#include "src/predict/feature_file.h"

#include <hdf5.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/data/hdf5_handle.h"
#include "src/data/shard_hdf5.h"
#include "src/observe/npy_header.h"

namespace finetune {
namespace {

bool IsNpy(absl::string_view path) { return absl::EndsWith(path, ".npy"); }

class NpyFeatures : public FeatureFile {
 public:
  explicit NpyFeatures(AtomicFile file) : file_(std::move(file)) {}

  absl::Status Begin(const FeatureRows& rows, int64_t channels) override {
    return file_.Write(NpyHeader("'<f4'", {static_cast<int64_t>(rows.paths.size()), channels}));
  }
  absl::Status Append(absl::string_view rows) override { return file_.Write(rows); }
  absl::Status Commit() override { return file_.Commit(); }

 private:
  AtomicFile file_;
};

// HDF5 writes the AtomicFile under its temporary name.
class Hdf5Features : public FeatureFile {
 public:
  Hdf5Features(std::string path, AtomicFile file)
      : path_(std::move(path)), file_(std::move(file)) {}
  ~Hdf5Features() override {
    const Hdf5Lock lock;
    Close();
  }

  absl::Status Begin(const FeatureRows& rows, int64_t channels) override {
    const Hdf5Lock lock;
    channels_ = channels;
    images_ = rows.paths.size();
    FT_ASSIGN_OR_RETURN(hdf5_, CreateShardFile(file_.temporary_path()));
    FT_RETURN_IF_ERROR(WriteStrings("path", rows.paths));
    FT_RETURN_IF_ERROR(WriteStrings("class_names", rows.class_names));
    FT_RETURN_IF_ERROR(WriteLabels(rows));
    const hsize_t length = ChunkLength(channels_ * sizeof(float));
    FT_ASSIGN_OR_RETURN(features_, CreateDataset(path_, hdf5_.get(), "features", H5T_IEEE_F32LE,
                                                 {images_, channels_}, length));
    return absl::OkStatus();
  }

  absl::Status Append(absl::string_view rows) override {
    const Hdf5Lock lock;
    const hsize_t count = rows.size() / (channels_ * sizeof(float));
    FT_RETURN_IF_ERROR(WriteRows(path_, features_, "features", H5T_NATIVE_FLOAT, written_,
                                 {count, channels_}, rows.data()));
    written_ += static_cast<int64_t>(count);
    return absl::OkStatus();
  }

  absl::Status Commit() override {
    {
      const Hdf5Lock lock;
      // Closing writes the last bytes.
      if (!Close()) return Hdf5Error(path_, "cannot write");
    }
    return file_.Commit();
  }

 private:
  // Returns the number of rows of a chunk. A chunk fits into HDF5's cache, so that one of which
  // several batches write parts is not read again.
  static hsize_t ChunkLength(hsize_t row_bytes) {
    return std::max<hsize_t>(1, kChunkBytes / std::max<hsize_t>(1, row_bytes));
  }

  bool Close() {
    const bool closed = features_.Reset();
    return hdf5_.Reset() && closed;
  }

  absl::Status WriteStrings(const char* name, const std::vector<std::string>& texts) {
    size_t longest = 1;  // HDF5 has no strings of 0 bytes
    for (const std::string& text : texts) longest = std::max(longest, text.size());
    const Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    if (!type.ok() || H5Tset_size(type.get(), longest) < 0 ||
        H5Tset_strpad(type.get(), H5T_STR_NULLPAD) < 0 ||
        H5Tset_cset(type.get(), H5T_CSET_UTF8) < 0) {
      return Hdf5Error(path_, absl::StrCat("cannot describe ", name));
    }
    const size_t length = ChunkLength(longest);
    FT_ASSIGN_OR_RETURN(
        const Hdf5Handle dataset,
        CreateDataset(path_, hdf5_.get(), name, type.get(), {texts.size()}, length));
    for (size_t begin = 0; begin < texts.size(); begin += length) {
      const size_t count = std::min(length, texts.size() - begin);
      std::string padded;
      for (size_t i = begin; i < begin + count; ++i) {
        padded += texts[i];
        padded.append(longest - texts[i].size(), '\0');
      }
      FT_RETURN_IF_ERROR(WriteRows(path_, dataset, name, type.get(), static_cast<int64_t>(begin),
                                   {count}, padded.data()));
    }
    return absl::OkStatus();
  }

  absl::Status WriteLabels(const FeatureRows& rows) {
    std::vector<int64_t> labels;
    labels.reserve(rows.paths.size());
    for (const std::string& path : rows.paths) {
      labels.push_back(LabelByFolder(path, rows.class_names));
    }
    FT_ASSIGN_OR_RETURN(const Hdf5Handle dataset,
                        CreateDataset(path_, hdf5_.get(), "label", H5T_STD_I64LE, {images_},
                                      ChunkLength(sizeof(int64_t))));
    return WriteRows(path_, dataset, "label", H5T_NATIVE_INT64, 0, {images_}, labels.data());
  }

  const std::string path_;
  AtomicFile file_;
  Hdf5Handle hdf5_, features_;
  hsize_t images_ = 0, channels_ = 0;
  int64_t written_ = 0;  // rows of features
};

}  // namespace

absl::Status FeatureFile::CheckName(const std::string& path) {
  if (IsNpy(path) || absl::EndsWith(path, ".h5") || absl::EndsWith(path, ".hdf5")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("found ", path, "; expected a name that ends in .npy, .h5 or .hdf5"));
}

absl::StatusOr<std::unique_ptr<FeatureFile>> FeatureFile::Create(const std::string& path) {
  FT_RETURN_IF_ERROR(CheckName(path));
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  std::unique_ptr<FeatureFile> features;
  if (IsNpy(path)) {
    features = std::make_unique<NpyFeatures>(std::move(file));
  } else {
    features = std::make_unique<Hdf5Features>(path, std::move(file));
  }
  return features;
}

int64_t LabelByFolder(absl::string_view path, const std::vector<std::string>& class_names) {
  const size_t end = path.rfind('/');
  if (end == absl::string_view::npos) return -1;
  const absl::string_view folders = path.substr(0, end);
  // Without a slash rfind() returns npos, and npos + 1 is 0.
  const absl::string_view folder = folders.substr(folders.rfind('/') + 1);
  const auto found = std::find(class_names.begin(), class_names.end(), folder);
  return found == class_names.end() ? -1 : found - class_names.begin();
}

}  // namespace finetune
