#include "src/main/flags.h"

#include <CLI/CLI.hpp>

#include "src/base/suggest_flag.h"

namespace finetune {
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CommandLine line;
  CLI::App app(
      "Fine-tunes an image classifier on the ranks of mpirun.\n\n"
      "  mpirun -np 8 finetune --config=resnet50_cifar.pbtxt\n"
      "  mpirun -np 8 finetune evaluate --config=F --checkpoint=PTH\n"
      "  finetune config --config=F\n"
      "  finetune report WORK_DIR\n"
      "  finetune plan --config=F --ranks=8,64,512 --link=10Gbit\n\n"
      "Exit codes: 0 done; 1 the run failed; 2 the flags or the config are wrong; 75 stopped by a "
      "signal\n"
      "after saving (run again with --resume=auto).",
      "finetune");
  app.require_subcommand(0, 1);
  // One set of variables for all commands: only one of them runs.
  const auto add_config = [&](CLI::App* to) {
    to->add_option("--config", line.config, "Config file (.pbtxt)");
    to->add_option("--config_path", line.config_path,
                   "Folder to look for configs and imports in; repeatable")
        ->allow_extra_args(false);
    to->add_option("--set", line.set,
                   "Override: PATH=VALUE, as in optimizer.sgd.lr=0.02; repeatable")
        ->allow_extra_args(false);
  };
  const auto add_train = [&](CLI::App* to) {
    add_config(to);
    to->add_option("--work_dir", line.work_dir,
                   "Where logs and checkpoints go (default work_dirs/NAME)");
    to->add_option("--resume", line.resume, "auto, or a checkpoint's path");
    to->add_flag("--overwrite", line.overwrite,
                 "Begin again in a work_dir that holds an earlier run");
    to->add_option("--max_iterations", line.max_iterations, "Stop after so many iterations")
        ->check(CLI::PositiveNumber);
    to->add_option("--trace", line.trace,
                   "Write where every rank's time went to this .json, for ui.perfetto.dev");
  };
  add_train(&app);
  CLI::App* train = app.add_subcommand("train", "Train (the default)");
  add_train(train);
  CLI::App* evaluate = app.add_subcommand("evaluate", "Evaluate a checkpoint on data.val");
  add_config(evaluate);
  evaluate->add_option("--checkpoint", line.checkpoint, "The .pth to evaluate");
  CLI::App* config =
      app.add_subcommand("config", "Print the effective config with the origin of each value");
  add_config(config);
  config->add_option("--origins", line.origins, "Say where each value was set (default true)");
  CLI::App* report =
      app.add_subcommand("report", "Write WORK_DIR/report.html from a run's records");
  report->add_option("WORK_DIR", line.work_dir, "The folder of the run")->required();

  CLI::App* plan = app.add_subcommand(
      "plan", "Predict step time, efficiency, memory and hours on other numbers of ranks");
  add_config(plan);
  plan->add_option("--ranks", line.plan.ranks, "Numbers of ranks (default 1,8,64,512)");
  plan->add_option("--link", line.plan.links,
                   "Between hosts: 10Gbit (the default), infiniband-hdr, 10Gbit,50us or "
                   "NAME=BANDWIDTH,LATENCY; repeatable")
      ->allow_extra_args(false);
  plan->add_option("--intra_link", line.plan.intra_link,
                   "Within a host, as --link (default shared-memory)");
  plan->add_option("--ranks_per_host", line.plan.ranks_per_host, "Default 8")
      ->check(CLI::PositiveNumber);
  plan->add_option("--algorithm", line.plan.algorithm,
                   "auto (what a run does), ring or hierarchical");
  plan->add_option("--measure", line.plan.measure,
                   "Iterations to measure here on one rank (default 5)")
      ->check(CLI::PositiveNumber);
  plan->add_option("--profile", line.plan.profile,
                   "Instead: what --save_profile wrote, or the .jsonl of a run of one rank");
  plan->add_option("--save_profile", line.plan.save_profile, "Where to keep what was measured");
  plan->add_option("--pictures", line.plan.pictures,
                   "Of the training split (default: its manifest's)")
      ->check(CLI::PositiveNumber);
  plan->add_flag("--json", line.plan.json, "Print JSON");

  CLI::App* chosen = &app;
  for (CLI::App* sub : {train, evaluate, config, report, plan}) {
    if (!arguments.empty() && arguments.front() == sub->get_name()) chosen = sub;
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    line.command = CommandLine::Command::kHelp;
    line.help = chosen->help();
    return line;
  } catch (const CLI::ParseError& error) {
    const std::string suggestion = SuggestFlag(app, arguments);
    return absl::InvalidArgumentError(suggestion.empty() ? std::string(error.what()) : suggestion);
  }
  line.command = chosen == evaluate ? CommandLine::Command::kEvaluate
                 : chosen == config ? CommandLine::Command::kConfig
                 : chosen == report ? CommandLine::Command::kReport
                 : chosen == plan   ? CommandLine::Command::kPlan
                                    : CommandLine::Command::kTrain;
  if (line.config.empty() && line.command != CommandLine::Command::kReport) {
    return absl::InvalidArgumentError(
        "--config is not given; for example --config=resnet50_cifar.pbtxt (see --help)");
  }
  if (line.command == CommandLine::Command::kEvaluate && line.checkpoint.empty()) {
    return absl::InvalidArgumentError(
        "--checkpoint is not given; for example --checkpoint=work_dirs/demo/epoch_8.pth");
  }
  if (line.overwrite && !line.resume.empty()) {
    return absl::InvalidArgumentError(
        "--overwrite begins again and --resume goes on: give one of them");
  }
  return line;
}

}  // namespace finetune
