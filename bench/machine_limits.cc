// Measures the limits of this machine, for comparison with other measurements:
//
//   machine_limits [--threads=1,2] [--seconds=0.3] [--mebibytes=256] [--json=FILE]
//
// Measures arithmetic in registers in float32 and bfloat16 (by AVX2, AVX-512 and AMX, where the
// processor has them), and reading and writing of memory. Every result is the best of five slices
// of --seconds.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "src/base/atomic_file.h"
#include "src/base/processor.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace finetune {
namespace {

double Seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// One measurement. Each thread calls `prepare`, and then calls the returned function again and
// again. A call does a piece of work and returns its amount in `unit`.
struct Limit {
  std::string name;
  std::string unit;
  std::function<std::function<double()>()> prepare;
};

// Returns the highest rate of all threads together, in units per second.
double Measure(const Limit& limit, int threads, double seconds) {
  constexpr int kSlices = 5;
  std::vector<double> rates(kSlices, 0);
  std::atomic<double> work = 0;
  double start = 0;
  int slice = 0;
  // Called on one thread when all threads have arrived at the barrier. Ends a slice and starts the
  // next one.
  const auto turn = [&]() noexcept {
    const double now = Seconds();
    if (slice > 0) rates[slice - 1] = work.load() / (now - start);
    ++slice;
    work = 0;
    start = Seconds();
  };
  std::barrier barrier(threads, turn);
  std::vector<std::thread> pool;
  pool.reserve(threads);
  for (int i = 0; i < threads; ++i) {
    pool.emplace_back([&] {
      const std::function<double()> piece = limit.prepare();
      piece();
      for (int s = 0; s < kSlices; ++s) {
        barrier.arrive_and_wait();
        const double end = Seconds() + seconds;
        double done = 0;
        while (Seconds() < end) done += piece();
        work.fetch_add(done);
      }
      barrier.arrive_and_wait();
    });
  }
  for (std::thread& thread : pool) thread.join();
  return *std::max_element(rates.begin(), rates.end());
}

#if defined(__x86_64__)

constexpr int kRounds = 100000;
// The number of independent sums, enough to hide an instruction's latency. They stay in the
// registers 0 to 11. The loops are assembly, because a compiler may move C++ variables to memory.
constexpr int kSums = 12;
#define FT_FOR_EACH_SUM(instruction) \
  ".irp r, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11\n\t" instruction "\n\t.endr"
#define FT_SUMS \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11"

__attribute__((target("avx2,fma"))) double FmaAvx2() {
  const __m256 a = _mm256_set1_ps(0.5f);
  asm volatile(FT_FOR_EACH_SUM("vxorps %%ymm\\r, %%ymm\\r, %%ymm\\r")::: FT_SUMS);
  for (int i = 0; i < kRounds; ++i) {
    asm volatile(FT_FOR_EACH_SUM("vfmadd231ps %0, %0, %%ymm\\r")::"x"(a) : FT_SUMS);
  }
  return 2.0 * 8 * kSums * kRounds;
}

__attribute__((target("avx512f"))) double FmaAvx512() {
  const __m512 a = _mm512_set1_ps(0.5f);
  asm volatile(FT_FOR_EACH_SUM("vpxord %%zmm\\r, %%zmm\\r, %%zmm\\r")::: FT_SUMS);
  for (int i = 0; i < kRounds; ++i) {
    asm volatile(FT_FOR_EACH_SUM("vfmadd231ps %0, %0, %%zmm\\r")::"v"(a) : FT_SUMS);
  }
  return 2.0 * 16 * kSums * kRounds;
}

// Each instruction adds two products to each of the 16 sums in a register.
__attribute__((target("avx512f,avx512bf16"))) double DotAvx512() {
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(0.5f), _mm512_set1_ps(0.5f));
  asm volatile(FT_FOR_EACH_SUM("vpxord %%zmm\\r, %%zmm\\r, %%zmm\\r")::: FT_SUMS);
  for (int i = 0; i < kRounds; ++i) {
    asm volatile(FT_FOR_EACH_SUM("vdpbf16ps %0, %0, %%zmm\\r")::"v"(a) : FT_SUMS);
  }
  return 4.0 * 16 * kSums * kRounds;
}

// Asks Linux for permission to use the tile registers, whose state takes 8 KiB. Returns whether it
// is granted.
bool MayUseTiles() {
  constexpr int kArchReqXcompPerm = 0x1023, kXfeatureXtiledata = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

// The memory layout that LDTILECFG reads.
struct alignas(64) TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t bytes_a_row[16] = {};
  uint8_t rows[16] = {};
};

__attribute__((target("amx-tile"))) void ConfigureTiles() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) {
    config.bytes_a_row[i] = 64;
    config.rows[i] = 16;
  }
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
}

// Uses four tiles of sums, arranged 2x2 as in a matrix product.
__attribute__((target("amx-tile,amx-bf16"))) double DotAmx() {
  constexpr int kTileRounds = kRounds / 8;
  for (int i = 0; i < kTileRounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return 4.0 * 2 * 16 * 16 * 32 * kTileRounds;
}

std::vector<Limit> ArithmeticLimits() {
  const Processor& has = ThisProcessor();
  const auto plain = [](double (*kernel)()) {
    return [kernel] { return std::function<double()>(kernel); };
  };
  std::vector<Limit> limits;
  if (has.avx2) {
    limits.push_back({"float32 AVX2 FMA", "flop", plain(FmaAvx2)});
  }
  if (has.avx512) {
    limits.push_back({"float32 AVX-512 FMA", "flop", plain(FmaAvx512)});
  }
  if (has.avx512_bfloat16) {
    limits.push_back({"bfloat16 AVX-512 vdpbf16ps", "flop", plain(DotAvx512)});
  }
  if (has.amx_bfloat16 && MayUseTiles()) {
    limits.push_back({"bfloat16 AMX tdpbf16ps", "flop", [] {
                        ConfigureTiles();
                        return std::function<double()>(DotAmx);
                      }});
  }
  return limits;
}

#else

std::vector<Limit> ArithmeticLimits() { return {}; }

#endif

// The loops that follow are compiled for each of these instruction sets. The widest one that the
// processor has is chosen when the program starts.
#if defined(__x86_64__)
#define FT_WIDEST __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define FT_WIDEST
#endif

FT_WIDEST int64_t Sum(const int64_t* a, int64_t n) {
  int64_t sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i];
  return sum;
}

FT_WIDEST void Triad(float* __restrict a, const float* __restrict b, const float* __restrict c,
                     int64_t n) {
  for (int64_t i = 0; i < n; ++i) a[i] = b[i] + 3.f * c[i];
}

// Each thread reads or writes `bytes` of memory from beginning to end. Only bytes that the program
// itself reads or writes are counted. A write may also make the processor read the cache line.
std::vector<Limit> MemoryLimits(int64_t bytes) {
  const int64_t floats = bytes / 4;
  const auto array = [floats](float value) {
    return std::make_shared<std::vector<float>>(floats, value);
  };
  std::vector<Limit> limits;
  limits.push_back({"memory: read", "byte", [=] {
                      return [a = std::make_shared<std::vector<int64_t>>(bytes / 8, 1)] {
                        volatile int64_t sum = Sum(a->data(), static_cast<int64_t>(a->size()));
                        static_cast<void>(sum);
                        return 8.0 * static_cast<double>(a->size());
                      };
                    }});
  limits.push_back({"memory: triad a = b + s * c", "byte", [=] {
                      return [=, a = array(0), b = array(1), c = array(2)] {
                        Triad(a->data(), b->data(), c->data(), floats);
                        return 12.0 * static_cast<double>(floats);
                      };
                    }});
  return limits;
}

int Main(int argc, char** argv) {
  CLI::App app("What this machine can do at best: arithmetic and memory.", "machine_limits");
  std::vector<int> threads = {1, 2};
  double seconds = 0.3;
  int64_t mebibytes = 256;
  std::string json;
  app.add_option("--threads", threads, "Numbers of threads (default 1,2)")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app.add_option("--seconds", seconds, "Length of a slice (default 0.3)")
      ->check(CLI::PositiveNumber);
  app.add_option("--mebibytes", mebibytes,
                 "Of each of a thread's arrays; more than the caches hold (default 256)")
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--json", json, "Also write the figures here");
  CLI11_PARSE(app, argc, argv);

  std::vector<Limit> limits = ArithmeticLimits();
  for (Limit& limit : MemoryLimits(mebibytes << 20)) limits.push_back(std::move(limit));
  nlohmann::json rows = nlohmann::json::array();
  std::printf("%-30s", "");
  for (int t : threads) std::printf("  %3d thread%s  ", t, t == 1 ? " " : "s");
  std::printf("\n");
  for (const Limit& limit : limits) {
    std::printf("%-30s", limit.name.c_str());
    for (int t : threads) {
      const double rate = Measure(limit, t, seconds);
      std::printf("  %8.1f %s", rate / 1e9, limit.unit == "flop" ? "GF/s" : "GB/s");
      std::fflush(stdout);
      rows.push_back({{"name", limit.name},
                      {"threads", t},
                      {"rate", rate},
                      {"unit", absl::StrCat(limit.unit, "/s")}});
    }
    std::printf("\n");
  }
  if (json.empty()) return 0;
  const absl::Status written = WriteFileAtomically(json, rows.dump(1) + "\n");
  if (!written.ok()) std::fprintf(stderr, "%s\n", std::string(written.message()).c_str());
  return written.ok() ? 0 : 1;
}

}  // namespace
}  // namespace finetune

int main(int argc, char** argv) { return finetune::Main(argc, argv); }
