// Measures the cost of an all-reduce, by algorithm and message size:
//
//   mpirun -np 2 allreduce_benchmark [--min=4096] [--max=104857600] [--seconds=0.5] [--only=NAME]
//       [--json=FILE]
//
// Prints for each: the median time; the processor time that a rank spends in it, which a
// computation at the same time would lose; and the algorithm's bandwidth, 2 (ranks - 1) / ranks *
// bytes / time. The factor is the number of bytes that each rank must at least send, so bandwidths
// for different numbers of ranks compare. `--only` selects the algorithms whose names begin with
// NAME.
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <mpi.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "src/base/atomic_file.h"
#include "src/base/median.h"
#include "src/base/status_macros.h"
#include "src/comm/mpi/mpi_communicator.h"
#include "src/comm/mpi/mpi_status.h"

namespace finetune {
namespace {

struct Flags {
  int64_t min = 4096;
  int64_t max = 100 << 20;
  double seconds = 0.5;
  std::string only;
  std::string json;
};

absl::StatusOr<Flags> Parse(int argc, char** argv) {
  Flags flags;
  for (int i = 1; i < argc; ++i) {
    absl::string_view flag = argv[i];
    bool good = true;
    if (absl::ConsumePrefix(&flag, "--min=")) {
      good = absl::SimpleAtoi(flag, &flags.min);
    } else if (absl::ConsumePrefix(&flag, "--max=")) {
      good = absl::SimpleAtoi(flag, &flags.max);
    } else if (absl::ConsumePrefix(&flag, "--seconds=")) {
      good = absl::SimpleAtod(flag, &flags.seconds);
    } else if (absl::ConsumePrefix(&flag, "--only=")) {
      flags.only = std::string(flag);
    } else if (absl::ConsumePrefix(&flag, "--json=")) {
      flags.json = std::string(flag);
    } else {
      good = false;
    }
    if (!good || flags.min < 4) {
      return absl::InvalidArgumentError(absl::StrFormat("unknown flag: %s", argv[i]));
    }
  }
  return flags;
}

std::vector<int64_t> Sizes(const Flags& flags) {
  std::vector<int64_t> sizes;
  for (int64_t bytes = flags.min; bytes < flags.max; bytes *= 4) sizes.push_back(bytes);
  sizes.push_back(flags.max);
  return sizes;
}

// Times in seconds on one rank.
struct Seconds {
  double wall = 0;
  // The processor time of all threads of the rank.
  double processor = 0;

  static Seconds Now() { return {Of(CLOCK_MONOTONIC), Of(CLOCK_PROCESS_CPUTIME_ID)}; }

 private:
  static double Of(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }
};

// Gathers the times of all ranks. No rank returns before every rank has called it.
using Meet = absl::FunctionRef<absl::StatusOr<std::vector<Seconds>>(const Seconds& mine)>;

// Calls `operation` again and again for about `seconds`, at least 5 times. Returns the median over
// the calls of the slowest rank's time and of the ranks' mean processor time. Collective.
absl::StatusOr<Seconds> Measure(double seconds, Meet meet,
                                absl::FunctionRef<absl::Status()> operation) {
  std::vector<double> walls, processors;
  for (double left = seconds; left > 0 || walls.size() < 5;) {
    FT_RETURN_IF_ERROR(meet({}).status());
    const Seconds begin = Seconds::Now();
    FT_RETURN_IF_ERROR(operation());
    const Seconds end = Seconds::Now();
    FT_ASSIGN_OR_RETURN(const std::vector<Seconds> all,
                        meet({end.wall - begin.wall, end.processor - begin.processor}));
    Seconds together;
    for (const Seconds& one : all) {
      together.wall = std::max(together.wall, one.wall);
      together.processor += one.processor / static_cast<double>(all.size());
    }
    walls.push_back(together.wall);
    processors.push_back(together.processor);
    left -= together.wall;
  }
  return Seconds{Median(walls), Median(processors)};
}

// Collects the results, to print them as rows and to write them as JSON.
class Table {
 public:
  explicit Table(int ranks) : ranks_(ranks) {}

  void Add(absl::string_view algorithm, int64_t bytes, const Seconds& median) {
    const double sent = 2.0 * (ranks_ - 1) / ranks_ * static_cast<double>(bytes);
    absl::StrAppendFormat(&text_, "%-26s %12d %12.1f %12.1f %10.3f\n", algorithm, bytes,
                          median.wall * 1e6, median.processor * 1e6, sent / median.wall / 1e9);
    rows_.push_back({{"algorithm", algorithm},
                     {"ranks", ranks_},
                     {"bytes", bytes},
                     {"seconds", median.wall},
                     {"processor_seconds", median.processor}});
  }
  std::string Text() const {
    return absl::StrFormat("%-26s %12s %12s %12s %10s\n", "algorithm", "bytes", "microseconds",
                           "processor us", "GB/s") +
           text_;
  }
  std::string Json() const { return rows_.dump(1); }

 private:
  const int ranks_;
  std::string text_;
  nlohmann::json rows_ = nlohmann::json::array();
};

struct Way {
  const char* name;
  MpiConfig::Algorithm algorithm;
  Wire wire;
  bool buffer;  // whether the tensor lies in memory of AllocateBuffer()
};

// Measures finetune's own algorithms, and MPI_Iallreduce in the way that finetune calls it.
absl::Status MeasureOurs(const MpiSession& session, const Flags& flags, Table& table) {
  const Way ways[] = {
      {"shared memory, own buffer", MpiConfig::SHARED_MEMORY, Wire::kFloat32, true},
      {"shared memory, any tensor", MpiConfig::SHARED_MEMORY, Wire::kFloat32, false},
      {"ring", MpiConfig::RING, Wire::kFloat32, false},
      {"ring, bf16", MpiConfig::RING, Wire::kBFloat16, false},
      {"ring, fp16", MpiConfig::RING, Wire::kFloat16, false},
      {"AUTO across hosts", MpiConfig::AUTO, Wire::kFloat32, false},
      {"MPI_Iallreduce", MpiConfig::MPI_CHOICE, Wire::kFloat32, false},
  };
  for (const Way& way : ways) {
    if (!absl::StartsWith(way.name, flags.only)) continue;
    CommConfig config;
    config.mutable_mpi()->set_algorithm(way.algorithm);
    absl::StatusOr<std::unique_ptr<MpiCommunicator>> made =
        MpiCommunicator::Create(session, config, {});
    // Skips an algorithm that cannot run here: ranks on several hosts have no shared memory.
    if (absl::IsInvalidArgument(made.status())) continue;
    FT_RETURN_IF_ERROR(made.status());
    MpiCommunicator& comm = **made;
    if (way.algorithm == MpiConfig::AUTO && comm.local_size() == comm.size()) continue;
    at::Tensor memory = at::ones({flags.max / 4});
    if (way.buffer) {
      FT_ASSIGN_OR_RETURN(memory, comm.AllocateBuffer(flags.max / 4));
    }
    const auto meet = [&comm](const Seconds& mine) -> absl::StatusOr<std::vector<Seconds>> {
      FT_ASSIGN_OR_RETURN(
          const std::vector<std::string> all,
          comm.AllGather(absl::string_view(reinterpret_cast<const char*>(&mine), sizeof(mine))));
      std::vector<Seconds> times(all.size());
      for (size_t r = 0; r < all.size(); ++r) std::memcpy(&times[r], all[r].data(), sizeof(mine));
      return times;
    };
    for (int64_t bytes : Sizes(flags)) {
      const at::Tensor tensor = memory.narrow(0, 0, bytes / 4);
      FT_ASSIGN_OR_RETURN(const Seconds median, Measure(flags.seconds, meet, [&]() -> absl::Status {
                            FT_ASSIGN_OR_RETURN(auto work, comm.AllReduceSum(tensor, way.wire));
                            return work->Wait();
                          }));
      table.Add(way.name, bytes, median);
    }
  }
  return absl::OkStatus();
}

// Measures MPI_Allreduce itself, which keeps its core busy while it waits. Open MPI's tuned
// collectives choose its algorithm, unless OMPI_MCA_coll_tuned_allreduce_algorithm does.
absl::Status MeasureMpi(const Flags& flags, int ranks, Table& table) {
  constexpr char kName[] = "MPI_Allreduce";
  if (!absl::StartsWith(kName, flags.only)) return absl::OkStatus();
  std::vector<float> memory(flags.max / 4, 1.f);
  const auto meet = [&](const Seconds& mine) -> absl::StatusOr<std::vector<Seconds>> {
    std::vector<Seconds> times(ranks);
    FT_RETURN_IF_ERROR(MpiStatus(MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, times.data(),
                                               sizeof(mine), MPI_BYTE, MPI_COMM_WORLD),
                                 "MPI_Allgather"));
    return times;
  };
  for (int64_t bytes : Sizes(flags)) {
    FT_ASSIGN_OR_RETURN(
        const Seconds median, Measure(flags.seconds, meet, [&] {
          return MpiStatus(MPI_Allreduce(MPI_IN_PLACE, memory.data(), static_cast<int>(bytes / 4),
                                         MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD),
                           kName);
        }));
    table.Add(kName, bytes, median);
  }
  return absl::OkStatus();
}

absl::Status Run(const MpiSession& session, const Flags& flags) {
  if (!session.active()) {
    return absl::FailedPreconditionError("MPI does not run: start with mpirun -np 2");
  }
  int rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  Table table(ranks);
  FT_RETURN_IF_ERROR(MeasureOurs(session, flags, table));
  FT_RETURN_IF_ERROR(MeasureMpi(flags, ranks, table));
  if (rank != 0) return absl::OkStatus();
  std::printf("%s", table.Text().c_str());
  return flags.json.empty() ? absl::OkStatus() : WriteFileAtomically(flags.json, table.Json());
}

int Main(int argc, char** argv) {
  absl::StatusOr<MpiSession> session = MpiSession::Start(&argc, &argv);
  absl::StatusOr<Flags> flags = Parse(argc, argv);
  absl::Status status = session.ok() ? flags.status() : session.status();
  if (status.ok()) status = Run(*session, *flags);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
