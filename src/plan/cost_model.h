#ifndef FINETUNE_PLAN_COST_MODEL_H_
#define FINETUNE_PLAN_COST_MODEL_H_

#include "src/plan/link.h"

namespace finetune {

// What a collective costs, after the alpha-beta-gamma model of Thakur, Rabenseifner and Gropp 2005
// ("Optimization of Collective Communication Operations in MPICH"): a message of n bytes takes
// alpha + n beta, summing it takes n gamma. Every rank is as fast as every other, links carry what
// goes each way at full speed, and nothing else is on them.

// Where the ranks run. Rank r is on host r / ranks_per_host.
struct Cluster {
  // kAuto is what the program does: ranks of one host through its memory, else one ring.
  // kHierarchical: first inside each host, then between hosts, then inside again.
  enum class Algorithm { kAuto, kRing, kHierarchical };

  Link between_hosts;
  Link within_host;
  int ranks_per_host = 1;
  // How fast a rank adds one array to another: 1 / gamma.
  double sum_bytes_per_second = 1e10;
  Algorithm algorithm = Algorithm::kAuto;
};

// All-reduce of `bytes` in a ring of `ranks` (Patarasuk and Yuan 2009, "Bandwidth optimal
// all-reduce algorithms"): 2 (ranks - 1) steps of bytes / ranks, as RingAllReduce does it. There a
// chunk travels in segments, so a chunk of several is summed and sent on before it is whole and a
// long one hides the latency of all steps but the last; one of a single segment pays it in each.
// In seconds.
double RingSeconds(double bytes, int ranks, const Link& link, double sum_bytes_per_second);

// All-reduce of `bytes` over `ranks` ranks of the cluster by its algorithm. In seconds; 0 for one
// rank.
double AllReduceSeconds(double bytes, int ranks, const Cluster& cluster);

// Handing round a few numbers of every rank: the logarithm of the ranks in steps. In seconds.
double GatherSeconds(int ranks, const Cluster& cluster);

}  // namespace finetune

#endif  // FINETUNE_PLAN_COST_MODEL_H_
