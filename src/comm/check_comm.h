#ifndef FINETUNE_COMM_CHECK_COMM_H_
#define FINETUNE_COMM_CHECK_COMM_H_

#include "src/config/experiment.pb.h"
#include "src/config/problems.h"

namespace finetune {

// Checks the settings of communication. `problems`: those of its message.
void CheckComm(const CommConfig& config, const Problems& problems);

}  // namespace finetune

#endif  // FINETUNE_COMM_CHECK_COMM_H_
