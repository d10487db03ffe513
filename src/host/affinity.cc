#include "src/host/affinity.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "src/base/status_macros.h"
#include "src/host/kernel_file.h"
#include "src/host/launch_environment.h"

namespace finetune {
namespace {

// The most threads that a user may request for each processor of a rank. With hundreds of threads
// on one processor, which wait for each other in turn, a second of work takes minutes.
constexpr int kMostThreads = 16;

// Returns the value of the line "Key:\tvalue" in /proc/PID/status, or "" where there is none.
std::string StatusField(absl::string_view pid, absl::string_view key) {
  const std::string status = KernelFile(absl::StrCat("/proc/", pid, "/status"));
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    if (absl::ConsumePrefix(&line, key) && absl::ConsumePrefix(&line, ":")) {
      return std::string(absl::StripAsciiWhitespace(line));
    }
  }
  return "";
}

// Before it restarts the program, RestartUnbound() sets this environment variable to the list of
// processors that the launcher bound this rank to.
constexpr char kLaunchedOn[] = "FINETUNE_LAUNCHED_ON_CPUS";

std::string CpusOf(absl::string_view pid) { return StatusField(pid, "Cpus_allowed_list"); }

std::string OwnCpus() {
  const char* launched_on = std::getenv(kLaunchedOn);
  return launched_on != nullptr ? launched_on : CpusOf("self");
}

std::string LauncherCpus(const std::optional<LauncherProcess>& launcher) {
  return CpusOf(launcher.has_value() ? absl::StrCat(launcher->pid) : "self");
}

const char* GetEnv(const char* name) { return std::getenv(name); }

// Returns whether mpirun's option --map-by with value `mapping` chooses the processors of a rank
// and not only its host: "slot:PE=4" and "socket" do, "node" and "ppr:2:node" do not.
bool MapsToProcessors(absl::string_view mapping) {
  const std::string lower = absl::AsciiStrToLower(mapping);
  if (absl::StrContains(lower, "pe=") || absl::StrContains(lower, "pe-list")) return true;
  const std::vector<absl::string_view> parts = absl::StrSplit(lower, ':');
  const absl::string_view object = parts[0] == "ppr" && parts.size() > 2 ? parts[2] : parts[0];
  return !object.empty() && object != "slot" && object != "node";
}

// Returns whether the command line or the environment of an Open MPI launcher asks for a binding.
bool AsksForBinding(const LauncherProcess& launcher) {
  const std::vector<std::string>& arguments = launcher.arguments;
  for (size_t i = 0; i < arguments.size(); ++i) {
    absl::string_view option = arguments[i];
    while (absl::ConsumePrefix(&option, "-")) {
    }
    if (option == "map-by" && i + 1 < arguments.size() && MapsToProcessors(arguments[i + 1])) {
      return true;
    }
    for (const char* asks : {"bind-to", "bind-to-core", "bind-to-socket", "cpu-set", "cpu-list",
                             "rankfile", "rf", "hwloc_default_binding_policy",
                             "hwloc_default_cpu_list", "rmaps_default_mapping_policy"}) {
      if (option == asks) return true;
    }
  }
  return std::any_of(launcher.environment.begin(), launcher.environment.end(),
                     [](const std::string& variable) {
                       return absl::StartsWith(variable, "PRTE_MCA_hwloc_default_") ||
                              absl::StartsWith(variable, "PRTE_MCA_rmaps_default_mapping_policy");
                     });
}

// Returns the origin of the job's binding. bindings[r]: the origin as rank r sees it. The launcher
// binds all ranks in the same way, so a rank that knows the origin knows it for all.
Binding Combine(absl::Span<const Binding> bindings) {
  const auto count = [&](Binding one) { return std::count(bindings.begin(), bindings.end(), one); };
  if (count(Binding::kAskedFor) > 0) return Binding::kAskedFor;
  return count(Binding::kDefault) > 0 ? Binding::kDefault : Binding::kUnknown;
}

HostCpus ThisHost(const std::optional<LauncherProcess>& launcher) {
  HostCpus host;
  if (auto cpus = ParseCpuList(LauncherCpus(launcher)); cpus.ok()) {
    host.launcher_cpus = *std::move(cpus);
  }
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    auto siblings = ParseCpuList(absl::StripAsciiWhitespace(KernelFile(
        absl::StrCat("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"))));
    if (!siblings.ok()) break;
    host.core_of.push_back(siblings->front());
  }
  // In control groups version 2 the file holds the allowed CPU time and the period, both in
  // microseconds: "200000 100000" is two processors, "max 100000" is no limit.
  const std::string limit = KernelFile("/sys/fs/cgroup/cpu.max");
  const std::vector<absl::string_view> parts =
      absl::StrSplit(absl::StripAsciiWhitespace(limit), ' ');
  double quota = 0;
  double period = 0;
  if (parts.size() == 2 && absl::SimpleAtod(parts[0], &quota) &&
      absl::SimpleAtod(parts[1], &period) && period > 0) {
    host.quota = quota / period;
  }
  return host;
}

}  // namespace

absl::StatusOr<std::vector<int>> ParseCpuList(absl::string_view text) {
  std::vector<int> cpus;
  for (absl::string_view range : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> ends = absl::StrSplit(range, '-');
    int first = 0;
    int last = 0;
    if (ends.size() > 2 || !absl::SimpleAtoi(ends.front(), &first) ||
        !absl::SimpleAtoi(ends.back(), &last) || first < 0 || last < first || last >= CPU_SETSIZE) {
      return absl::InvalidArgumentError(absl::StrCat("not a list of processors: '", text, "'"));
    }
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

Binding ReadBinding(const std::function<const char*(const char*)>& get,
                    const std::optional<LauncherProcess>& launcher) {
  const auto value = [&](const char* name) -> absl::string_view {
    const char* text = get(name);
    return text == nullptr ? "" : text;
  };
  if (!value("OMPI_MCA_orte_bound_at_launch").empty()) {
    const bool asked = !value("OMPI_MCA_hwloc_base_binding_policy").empty() ||
                       !value("OMPI_MCA_hwloc_base_cpu_set").empty() ||
                       MapsToProcessors(value("OMPI_MCA_rmaps_base_mapping_policy")) ||
                       // The option --rankfile does not set a variable.
                       (launcher.has_value() && AsksForBinding(*launcher));
    return asked ? Binding::kAskedFor : Binding::kDefault;
  }
  if (!launcher.has_value()) return Binding::kAskedFor;
  if (launcher->name != "prterun" && launcher->name != "prted") return Binding::kAskedFor;
  if (AsksForBinding(*launcher)) return Binding::kAskedFor;
  return launcher->name == "prterun" ? Binding::kDefault : Binding::kUnknown;
}

absl::StatusOr<CpuPlan> PlanCpus(const HostCpus& host, int index, int requested) {
  if (requested < 0) {
    return absl::InvalidArgumentError(absl::StrCat("is ", requested, "; expected 0 or more"));
  }
  const bool rebind = host.binding == Binding::kDefault && !host.launcher_cpus.empty();
  const auto cpus_of = [&](int rank) -> const std::vector<int>& {
    return rebind ? host.launcher_cpus : host.rank_cpus[rank];
  };
  // The number of ranks that share this rank's processors, and this rank's place among them.
  int sharing = 0;
  int place = 0;
  for (int rank = 0; rank < static_cast<int>(host.rank_cpus.size()); ++rank) {
    if (cpus_of(rank) != cpus_of(index)) continue;
    if (rank < index) ++place;
    ++sharing;
  }
  // cores[i]: the hyperthreads of core i that this rank may run on.
  std::map<int, std::vector<int>> cores;
  for (int cpu : cpus_of(index)) {
    cores[cpu < static_cast<int>(host.core_of.size()) ? host.core_of[cpu] : cpu].push_back(cpu);
  }
  const auto count = static_cast<int>(cores.size());
  const auto processors = static_cast<int>(cpus_of(index).size());
  if (requested > kMostThreads * std::max(processors, 1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("is ", requested, ", but this rank has ", processors, " processor",
                     processors == 1 ? "" : "s", "; 0 takes one thread a core"));
  }
  CpuPlan plan;
  if (count < sharing) {
    plan.threads = requested > 0 ? requested : 1;
    if (rebind) plan.cpus = host.launcher_cpus;
    plan.note = absl::StrCat(sharing, " ranks share ", count, " core", count == 1 ? "" : "s",
                             ": they will run slower than ", count, " would");
    return plan;
  }
  const int begin = count * place / sharing;
  const int end = count * (place + 1) / sharing;
  int at = 0;
  for (const auto& [core, cpus] : cores) {
    if (at >= begin && at < end) plan.cpus.insert(plan.cpus.end(), cpus.begin(), cpus.end());
    ++at;
  }
  std::sort(plan.cpus.begin(), plan.cpus.end());
  plan.threads = end - begin;
  if (host.binding == Binding::kUnknown &&
      plan.cpus.size() * host.rank_cpus.size() < host.launcher_cpus.size()) {
    plan.note = absl::StrCat(
        "mpirun has bound this rank to ", plan.cpus.size(), " of this host's ",
        host.launcher_cpus.size(), " processors (", absl::StrJoin(plan.cpus, ","),
        "), and its daemon does not say whether that was asked for: mpirun --bind-to none gives "
        "each rank its share of the host");
  }
  if (host.quota > 0) {
    const int ranks = static_cast<int>(host.rank_cpus.size());
    plan.threads = std::clamp(static_cast<int>(host.quota / ranks), 1, plan.threads);
  }
  if (requested > 0) {
    if (requested > static_cast<int>(plan.cpus.size())) {
      plan.note = absl::StrCat(
          "runtime.threads: ", requested, ", but this rank has ", plan.cpus.size(), " processor",
          plan.cpus.size() == 1 ? "" : "s", " (", absl::StrJoin(plan.cpus, ","),
          "); start fewer ranks a host, or bind each to more (mpirun --map-by slot:PE=", requested,
          ")");
    }
    plan.threads = requested;
  }
  return plan;
}

std::string DescribeBinding() {
  const Binding binding = ReadBinding(GetEnv, FindLauncherProcess());
  return absl::StrCat(OwnCpus(), "\n", static_cast<int>(binding));
}

absl::StatusOr<CpuPlan> PlanCpus(int requested, int rank, absl::Span<const std::string> by_rank,
                                 absl::Span<const std::string> hosts) {
  HostCpus host = ThisHost(FindLauncherProcess());
  std::vector<Binding> bindings;
  int index = 0;
  for (int r = 0; r < static_cast<int>(by_rank.size()); ++r) {
    const std::vector<std::string> parts = absl::StrSplit(by_rank[r], '\n');
    int binding = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &binding)) continue;
    bindings.push_back(static_cast<Binding>(binding));
    if (hosts[r] != hosts[rank]) continue;
    if (r == rank) index = static_cast<int>(host.rank_cpus.size());
    FT_ASSIGN_OR_RETURN(host.rank_cpus.emplace_back(), ParseCpuList(parts[0]));
  }
  host.binding = Combine(bindings);
  return PlanCpus(host, index, requested);
}

void RestartUnbound(char** argv) {
  const std::optional<LauncherProcess> launcher = FindLauncherProcess();
  const int ranks = ReadLaunch().local_size;
  if (ranks == 0 || ReadBinding(GetEnv, launcher) == Binding::kAskedFor) return;
  const auto own = ParseCpuList(CpusOf("self"));
  const auto all = ParseCpuList(LauncherCpus(launcher));
  if (!own.ok() || !all.ok() || own->size() * ranks >= all->size()) return;
  std::error_code error;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe", error).string();
  if (error) return;
  // PlanCpus() keeps to these processors where another rank reports that the user asked for the
  // binding.
  setenv(kLaunchedOn, CpusOf("self").c_str(), /*overwrite=*/1);
  if (BindThread(*all).ok()) {
    // The restarted program runs this function again. It must not restart for ever, so it restarts
    // only where BindThread() has added processors, which a control group may prevent.
    const auto now = ParseCpuList(CpusOf("self"));
    if (now.ok() && now->size() > own->size()) execv(program.c_str(), argv);
    BindThread(*own).IgnoreError();
  }
  unsetenv(kLaunchedOn);
}

absl::Status BindThread(const std::vector<int>& cpus) {
  if (cpus.empty()) return absl::OkStatus();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) {
    return absl::InternalError(
        absl::StrCat("cannot run on processors ", absl::StrJoin(cpus, ","), ": ", strerror(errno)));
  }
  return absl::OkStatus();
}

}  // namespace finetune
