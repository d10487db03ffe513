#include "src/main/commands/plan.h"

#include <utility>

#include "src/base/status_macros.h"

namespace finetune {

std::vector<std::string> PlanCommand::examples() const {
  return {"finetune plan --config=resnet50_cifar.pbtxt --ranks=8,64 --link=infiniband-hdr"};
}

void PlanCommand::AddFlags(FlagList* flags) {
  constexpr int kMost = 1 << 20;
  config_.AddTo(flags);
  flags->Text("--ranks", "N,N,...", "Numbers of ranks (default 1,8,64,512)", &flags_.ranks);
  flags->Texts("--link", "LINK",
               "Between hosts: 10Gbit (the default), infiniband-hdr, 10Gbit,50us or "
               "NAME=BANDWIDTH,LATENCY; repeatable",
               &flags_.links);
  flags->Text("--intra_link", "LINK", "Within a host, as --link (default shared-memory)",
              &flags_.intra_link);
  flags->WholeNumber("--ranks_per_host", "(default 8)", 1, kMost, &flags_.ranks_per_host);
  flags->ByteSize("--host_memory", "Memory of a host, as 64GiB (default: this host's limit)",
                  &flags_.host_memory);
  flags
      ->Text("--algorithm", "NAME", "auto (the default: what a run does), ring or hierarchical",
             &flags_.algorithm)
      ->choices = {"auto", "ring", "hierarchical"};
  flags->WholeNumber("--measure", "Iterations to measure here on one rank (default 5)", 1, kMost,
                     &flags_.measure);
  flags->Path(Flag::Kind::kFile, "--profile", "FILE",
              "Instead of measuring: what --save_profile wrote, or a one-rank run's .jsonl",
              &flags_.profile);
  flags->Path(Flag::Kind::kFile, "--save_profile", "FILE", "Where to keep what was measured",
              &flags_.save_profile);
  flags->Switch("--force", "Replace the file of --save_profile where it is there", &flags_.force);
  flags->WholeNumber("--images",
                     "The number of images in the training split (default: as its manifest says)",
                     1, &flags_.images);
  flags->Switch("--json", "Print JSON", &flags_.json);
}

absl::Status PlanCommand::RunHere(const Invocation& /*invocation*/, std::string* output) {
  FT_ASSIGN_OR_RETURN(const LoadedConfig loaded, config_.LoadExpanded());
  absl::StatusOr<std::string> plan = RunPlan(loaded, flags_);
  if (!plan.ok()) return loaded.WithPlace(plan.status());
  *output = *std::move(plan);
  return absl::OkStatus();
}

}  // namespace finetune
