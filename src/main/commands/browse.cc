#include "src/main/commands/browse.h"

#include <utility>

#include "src/base/status_macros.h"

namespace finetune {

std::vector<std::string> BrowseCommand::examples() const {
  return {"finetune browse --config=photos.pbtxt",
          "finetune browse --config=photos.pbtxt --images=16 --out=sheet.png"};
}

void BrowseCommand::AddFlags(FlagList* flags) {
  config_.AddTo(flags);
  flags->Path(Flag::Kind::kFile, "--out", "FILE",
              "The .html or .png file to write (default browse.html)", &flags_.out);
  flags->WholeNumber("--images", "The most images to show (default 64)", 1, 4096, &flags_.images);
  flags->Text("--split", "NAME", "train (the default) or val", &flags_.split)->choices = {"train",
                                                                                          "val"};
  flags->WholeNumber("--epoch", "The epoch of data.train to show, from 0 (default 0)", 0, 1 << 20,
                     &flags_.epoch);
  flags->Switch("--force", "Replace FILE also where it is a PNG or another program's",
                &flags_.force);
}

absl::Status BrowseCommand::Check() const {
  FT_RETURN_IF_ERROR(config_.Check());
  return CheckBrowseFlags(flags_);
}

absl::Status BrowseCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.LoadExpanded());
  absl::StatusOr<std::string> text = RunBrowse(loaded, flags_);
  if (!text.ok()) return loaded.WithPlace(text.status());
  *output = *std::move(text);
  return absl::OkStatus();
}

}  // namespace finetune
