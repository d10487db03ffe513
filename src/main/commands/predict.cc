#include "src/main/commands/predict.h"

#include <cstdint>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "src/base/annotate.h"
#include "src/base/exit_code.h"
#include "src/predict/feature_file.h"

namespace finetune {

std::vector<std::string> PredictCommand::examples() const {
  return {
      "finetune predict --checkpoint=work_dirs/demo/best.pth photos/ --format=table",
      "find photos -name '*.jpg' | mpirun -np 2 finetune predict --checkpoint=best.pth --list=-"};
}

void PredictCommand::AddFlags(FlagList* flags) {
  checkpoint_.AddTo("The .pth or .safetensors to ask; finetune's carries its config", flags);
  flags->Paths(Flag::Kind::kFile, "PATH", "PATH",
               "Images, archives (.tar, .zip) and folders, in the order of the answers",
               &flags_.paths);
  flags
      ->Path(Flag::Kind::kFile, "--list", "FILE",
             "Also the images of this file, one path a line; -: standard input", &flags_.list)
      ->choices = {"-"};
  flags
      ->Text("--format", "NAME", "jsonl: a JSON object a line (default); csv; table: for people",
             &format_)
      ->choices = {"jsonl", "csv", "table"};
  flags->Path(Flag::Kind::kFile, "--out", "FILE",
              "Write the answers to this file, whole (default: standard output)", &flags_.out);
  flags->WholeNumber("--top_k", "Classes of each answer, the likeliest first (default 5)", 1,
                     1 << 20, &flags_.top_k);
  flags->WholeNumber("--batch_size", "Images that a rank computes at a time (default 32)", 1,
                     1 << 16, &flags_.batch_size);
  flags
      ->Text("--features", "NAME", "backbone: also write the features that the head takes",
             &features_)
      ->choices = {"backbone"};
  flags->Path(Flag::Kind::kFile, "--features_out", "FILE",
              "The .npy or .h5 for them, float32 [images, channels]", &flags_.features);
  flags->Switch("--force", "Replace the files of --out and --features_out where they are there",
                &flags_.force);
}

absl::Status PredictCommand::Check() const {
  FT_RETURN_IF_ERROR(checkpoint_.Check());
  FT_RETURN_IF_ERROR(Annotate(ParseRowFormat(format_).status(), "--format"));
  if (flags_.paths.empty() && flags_.list.empty()) {
    return absl::InvalidArgumentError(
        "no images are given; for example finetune predict --checkpoint=best.pth photos/");
  }
  if (!features_.empty() && features_ != "backbone") {
    return absl::InvalidArgumentError(
        absl::StrCat("--features: found ", features_, "; expected backbone"));
  }
  if (features_.empty() != flags_.features.empty()) {
    return absl::InvalidArgumentError(
        "--features=backbone and --features_out=FILE.npy or .h5 go together: give both");
  }
  return features_.empty() ? absl::OkStatus()
                           : Annotate(FeatureFile::CheckName(flags_.features), "--features_out");
}

absl::StatusOr<int> PredictCommand::RunOnRanks(const LoadedConfig& loaded, Communicator* comm) {
  PredictFlags flags = flags_;
  flags.model = {checkpoint_.checkpoint, checkpoint_.key, checkpoint_.weights};
  FT_ASSIGN_OR_RETURN(flags.format, ParseRowFormat(format_));
  FT_ASSIGN_OR_RETURN(const int64_t bad, RunPredict(loaded, flags, comm));
  if (bad == 0) return kExitDone;
  if (comm->rank() == 0) {
    std::fprintf(stderr, "warning %lld image%s could not be answered; the row%s why\n",
                 static_cast<long long>(bad), bad == 1 ? "" : "s", bad == 1 ? " says" : "s say");
  }
  return kExitFailed;
}

}  // namespace finetune
