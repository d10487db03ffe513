#include "src/observe/score_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "src/observe/csv_field.h"
#include "src/observe/npy_header.h"

namespace finetune {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

template <typename T>
void AppendBytes(T value, std::string* bytes) {
  bytes->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace

absl::Status ScoreFile::CheckName(const std::string& path) {
  if (absl::EndsWith(path, ".csv") || absl::EndsWith(path, ".npy")) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(path, ": found another ending; expected a name that ends in .csv or .npy"));
}

absl::StatusOr<ScoreFile> ScoreFile::Create(const std::string& path,
                                            const std::vector<std::string>& class_names,
                                            int64_t images) {
  FT_RETURN_IF_ERROR(CheckName(path));
  FT_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path));
  ScoreFile scores(std::move(file), absl::EndsWith(path, ".csv"));
  if (!scores.csv_) {
    scores.buffer_ =
        NpyHeader(absl::StrFormat("[('index', '<i8'), ('label', '<i4'), ('guess', '<i4'), "
                                  "('scores', '<f4', (%d,))]",
                                  class_names.size()),
                  {images});
    return scores;
  }
  scores.buffer_ = "index,label,guess";
  for (const std::string& name : class_names) {
    absl::StrAppend(&scores.buffer_, ",", CsvField(name));
  }
  scores.buffer_ += '\n';
  return scores;
}

absl::Status ScoreFile::Add(int64_t index, const Prediction& prediction,
                            absl::Span<const float> scores) {
  if (csv_) {
    absl::StrAppend(&buffer_, index, ",", prediction.label, ",", prediction.guess);
    // Nine significant digits are enough to distinguish any two float32 values.
    for (const float score : scores) absl::StrAppendFormat(&buffer_, ",%.9g", score);
    buffer_ += '\n';
  } else {
    AppendBytes(index, &buffer_);
    AppendBytes(prediction.label, &buffer_);
    AppendBytes(prediction.guess, &buffer_);
    buffer_.append(reinterpret_cast<const char*>(scores.data()), scores.size() * sizeof(float));
  }
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
}

absl::Status ScoreFile::Flush() {
  FT_RETURN_IF_ERROR(file_.Write(buffer_));
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status ScoreFile::Commit() {
  FT_RETURN_IF_ERROR(Flush());
  return file_.Commit();
}

}  // namespace finetune
