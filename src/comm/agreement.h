#ifndef FINETUNE_COMM_AGREEMENT_H_
#define FINETUNE_COMM_AGREEMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "src/comm/communicator.h"

namespace finetune {

// Something that must be the same on every rank, or they would train different models without a
// word.
struct AgreementItem {
  std::string name;   // "the config"
  std::string value;  // a digest, a version, a number
};

// Compares the ranks' items. Collective. A difference is a FailedPrecondition on every rank that
// names the ranks that differ from most (from rank 0 where there is no majority), their hosts, the
// item and both values.
absl::Status CheckAgreement(absl::Span<const AgreementItem> items, Communicator& comm);

// The comparison: by_rank[r] are rank r's items.
absl::Status CompareItems(const std::vector<std::vector<AgreementItem>>& by_rank,
                          const std::vector<std::string>& hosts);

// Every rank says how a step went; every rank gets the first error, so that all stop together and
// none waits for one that has gone. An error that not all ranks have names the rank and host it is
// from. IsAgreed() knows the result. Collective.
absl::Status Agree(const absl::Status& status, Communicator& comm);

// Whether every rank has this error, so that all end by themselves and nobody need stop the others.
// Annotate() and the like make another error, which is not known to be agreed.
bool IsAgreed(const absl::Status& status);

// The error, which the caller knows that every rank has, as one that IsAgreed() knows.
absl::Status MarkAgreed(absl::Status status);

}  // namespace finetune

#endif  // FINETUNE_COMM_AGREEMENT_H_
