#ifndef FINETUNE_COMM_CHECK_COMM_H_
#define FINETUNE_COMM_CHECK_COMM_H_

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"

namespace finetune {

// Checks the fields of `config`. Adds an error to `problems`, which must be those of this message,
// for each field that is out of range.
void CheckComm(const CommConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_COMM_CHECK_COMM_H_
