#include "src/host/launch_environment.h"

#include <cstdlib>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace finetune {
namespace {

// Returns the name of a launcher for messages.
absl::string_view Name(Launcher launcher) {
  switch (launcher) {
    case Launcher::kNone:
      return "the shell";
    case Launcher::kOpenMpi:
      return "Open MPI's mpirun";
    case Launcher::kPmi:
      return "an MPICH's mpiexec (PMI)";
    case Launcher::kPmix:
      return "srun --mpi=pmix";
    case Launcher::kSrunOnly:
      return "srun";
  }
  return "";
}

}  // namespace

Launch ReadLaunch(const std::function<const char*(const char*)>& get) {
  const auto number = [&](const char* name) -> std::optional<int> {
    const char* text = get(name);
    int value = 0;
    if (text == nullptr || !absl::SimpleAtoi(text, &value) || value < 0) return std::nullopt;
    return value;
  };
  // Slurm comes last: mpirun and mpiexec may run inside a Slurm step, whose variables their ranks
  // inherit. Open MPI comes before PMIx because it sets PMIx's variables too.
  if (const auto rank = number("OMPI_COMM_WORLD_RANK"); rank.has_value()) {
    return {Launcher::kOpenMpi, *rank, number("OMPI_COMM_WORLD_SIZE").value_or(0),
            number("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(0)};
  }
  if (const auto rank = number("PMI_RANK"); rank.has_value()) {
    return {Launcher::kPmi, *rank, number("PMI_SIZE").value_or(0),
            number("MPI_LOCALNRANKS").value_or(0)};
  }
  const int tasks = number("SLURM_STEP_NUM_TASKS").value_or(0);
  if (const auto rank = number("PMIX_RANK"); rank.has_value()) {
    return {Launcher::kPmix, *rank, tasks, 0};
  }
  // A Slurm batch script's own shell also runs as a step, but with one task.
  if (tasks > 1) return {Launcher::kSrunOnly, number("SLURM_PROCID").value_or(0), tasks, 0};
  return {};
}

Launch ReadLaunch() {
  return ReadLaunch([](const char* name) { return std::getenv(name); });
}

int LaunchRank() { return ReadLaunch().rank; }

absl::Status CheckLaunch(const Launch& launch) {
  if (launch.launcher != Launcher::kSrunOnly) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "srun started ", launch.size,
      " tasks without MPI: each would take itself for the only rank. Start them with `srun "
      "--mpi=pmix` (a program built with an MPICH: `srun --mpi=pmi2`) or with mpirun"));
}

absl::Status CheckWorld(const Launch& launch, int world_size, absl::string_view library) {
  if (launch.size == 0 || launch.size == world_size) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      Name(launch.launcher), " started ", launch.size, " rank", launch.size == 1 ? "" : "s",
      ", but MPI in this program (", library, ") has a world of ", world_size,
      ": they are not of the same MPI. Start the program with the mpirun of the MPI that it was "
      "built with, or build it with the launcher's MPI (FINETUNE_MPI=FOLDER bazel build)"));
}

}  // namespace finetune
