#ifndef FINETUNE_COMM_AGREEMENT_H_
#define FINETUNE_COMM_AGREEMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "src/comm/communicator.h"

namespace finetune {

// A value that must be the same on every rank. Ranks that differ in it would train different models
// without an error.
struct AgreementItem {
  std::string name;   // "the config"
  std::string value;  // a digest, a version, a number
};

// Compares the ranks' items. Collective. A difference is a FailedPrecondition on every rank. It
// names the ranks that differ from the majority (from rank 0 where there is none), their hosts, the
// item and both values.
absl::Status CheckAgreement(absl::Span<const AgreementItem> items, Communicator& comm);

// Compares the items without communication. by_rank[r]: rank r's items.
absl::Status CompareItems(const std::vector<std::vector<AgreementItem>>& by_rank,
                          const std::vector<std::string>& hosts);

// Gathers every rank's status of a step and returns the first error on every rank, so that all
// ranks stop together. Without it a rank would wait for one that has stopped. An error that not all
// ranks have names its rank and host. IsAgreed() recognizes the result. Collective.
absl::Status Agree(const absl::Status& status, Communicator& comm);

// Returns whether every rank has this error. Then each rank ends by itself, and none need stop the
// others. Annotate() and the like make a new error, which does not count as agreed.
bool IsAgreed(const absl::Status& status);

// Marks an error as agreed. The caller knows that every rank has it.
absl::Status MarkAgreed(absl::Status status);

}  // namespace finetune

#endif  // FINETUNE_COMM_AGREEMENT_H_
