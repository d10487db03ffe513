#include "src/main/commands/version.h"

#include "absl/strings/str_cat.h"
#include "src/base/version.h"
#include "src/host/build_id.h"

namespace finetune {

absl::Status VersionCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  absl::StrAppend(output, "finetune ", kFinetuneVersion, ", build ", BuildId(), "\n");
  return absl::OkStatus();
}

}  // namespace finetune
