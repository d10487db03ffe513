#include "src/config/expand_paths.h"

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/expand_home.h"
#include "src/base/status_macros.h"

namespace finetune {

absl::Status ExpandPaths(LoadedConfig* loaded) {
  ExperimentConfig& config = loaded->config;
  const auto expand = [&](const std::string& field, const std::string& value,
                          auto mutable_value) -> absl::Status {
    // A field that is not set stays unset, because its value is empty.
    if (!absl::StartsWith(value, "~")) return absl::OkStatus();
    absl::StatusOr<std::string> path = ExpandHome(value);
    FT_RETURN_IF_ERROR(Annotate(path.status(), absl::StrCat(loaded->PlaceOf(field), ": ", field)));
    *mutable_value() = *std::move(path);
    return absl::OkStatus();
  };
  FT_RETURN_IF_ERROR(expand("data.train.path", config.data().train().path(), [&] {
    return config.mutable_data()->mutable_train()->mutable_path();
  }));
  FT_RETURN_IF_ERROR(expand("data.val.path", config.data().val().path(),
                            [&] { return config.mutable_data()->mutable_val()->mutable_path(); }));
  return expand("runtime.work_dir", config.runtime().work_dir(),
                [&] { return config.mutable_runtime()->mutable_work_dir(); });
}

}  // namespace finetune
