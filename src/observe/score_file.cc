#include "src/observe/score_file.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/string_view.h"

namespace finetune {
namespace {

constexpr size_t kBufferBytes = size_t{1} << 20;

// Returns a CSV field as in RFC 4180: in quotes if it contains a comma, a quote or a line end.
std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  return absl::StrCat("\"", absl::StrReplaceAll(text, {{"\"", "\"\""}}), "\"");
}

// Returns the header of NumPy's format, version 1.0: the magic number, the length of the text of a
// Python dict, and the text. It is padded to a multiple of 64 bytes.
std::string NpyHeader(size_t classes, int64_t images) {
  std::string text = absl::StrFormat(
      "{'descr': [('index', '<i8'), ('label', '<i4'), ('guess', '<i4'), ('scores', '<f4', (%d,))], "
      "'fortran_order': False, 'shape': (%d,), }",
      classes, images);
  constexpr size_t kBefore = 10, kBlock = 64;
  text.append(kBlock - 1 - (kBefore + text.size()) % kBlock, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

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
    scores.buffer_ = NpyHeader(class_names.size(), images);
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
    // Nine digits are enough to distinguish any two float32 values.
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
