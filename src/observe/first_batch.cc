#include "src/observe/first_batch.h"

#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/atomic_file.h"
#include "src/base/system_error.h"
#include "src/base/version.h"
#include "src/observe/json_field.h"

namespace finetune {
namespace {

using Json = nlohmann::ordered_json;

// A first_batch.json has at most kMostFirstImages small images.
constexpr size_t kMostBytes = size_t{16} << 20;

}  // namespace

const char kFirstBatchFirstLine[] =
    R"({ "//": "Written by finetune: images of the run's first batch, as the model gets them.",)";

std::string FirstBatchPath(absl::string_view work_dir) {
  return absl::StrCat(work_dir, "/first_batch.json");
}

absl::StatusOr<FirstBatch> EncodeFirstBatch(const ContactSheet& sheet, int64_t iteration) {
  FirstBatch batch;
  batch.iteration = iteration;
  batch.title = sheet.title;
  for (size_t i = 0; i < sheet.images.size(); ++i) {
    FT_ASSIGN_OR_RETURN(ImageFile file, ToImageFile(sheet, i));
    batch.images.push_back(
        {std::move(file.media_type), std::move(file.bytes), sheet.images[i].caption});
  }
  return batch;
}

std::string ToJson(const FirstBatch& batch) {
  Json json = {{"format_version", kFirstBatchFormatVersion},
               {"writer", kFinetuneWriter},
               {"iteration", batch.iteration},
               {"title", batch.title},
               {"images", Json::array()}};
  for (const FirstBatch::Image& image : batch.images) {
    json["images"].push_back({{"caption", image.caption},
                              {"media_type", image.media_type},
                              {"base64", absl::Base64Escape(image.bytes)}});
  }
  return OwnJsonText(json, kFirstBatchFirstLine);
}

absl::StatusOr<FirstBatch> ParseFirstBatch(absl::string_view text) {
  const auto json =
      nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("found text that is not a JSON object");
  FT_RETURN_IF_ERROR(CheckFormatVersion(IntegerField(json, "format_version", 0),
                                        kFirstBatchFormatVersion, TextField(json, "writer")));
  const auto images = json.find("images");
  if (images == json.end() || !images->is_array()) {
    return absl::InvalidArgumentError("found no list \"images\"");
  }
  FirstBatch batch;
  batch.iteration = IntegerField(json, "iteration", 0);
  batch.title = TextField(json, "title");
  for (const auto& entry : *images) {
    if (batch.images.size() == kMostFirstImages) break;
    FirstBatch::Image& image = batch.images.emplace_back();
    if (entry.is_object()) {
      image.caption = TextField(entry, "caption");
      image.media_type = TextField(entry, "media_type");
    }
    if (image.media_type != "image/png" && image.media_type != "image/jpeg") {
      return absl::InvalidArgumentError(absl::StrCat("images[", batch.images.size() - 1,
                                                     "].media_type is \"", image.media_type,
                                                     "\"; expected image/png or image/jpeg"));
    }
    if (!absl::Base64Unescape(TextField(entry, "base64"), &image.bytes)) {
      return absl::InvalidArgumentError(
          absl::StrCat("images[", batch.images.size() - 1, "].base64 is not base64"));
    }
  }
  return batch;
}

absl::StatusOr<FirstBatch> ReadFirstBatch(absl::string_view work_dir) {
  const std::string path = FirstBatchPath(work_dir);
  FT_ASSIGN_OR_RETURN(const std::string text, ReadRegularFile(path, kMostBytes));
  absl::StatusOr<FirstBatch> batch = ParseFirstBatch(text);
  FT_RETURN_IF_ERROR(Annotate(batch.status(), path));
  return batch;
}

absl::Status RemoveFirstBatch(absl::string_view work_dir) {
  const std::string path = FirstBatchPath(work_dir);
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return SystemError("cannot delete", path, errno);
}

}  // namespace finetune
