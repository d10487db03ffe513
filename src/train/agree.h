#ifndef FINETUNE_TRAIN_AGREE_H_
#define FINETUNE_TRAIN_AGREE_H_

#include "src/base/status_macros.h"
#include "src/comm/communicator.h"

namespace finetune {

// Every rank says how a step of its set-up went; every rank gets the first error, so that all stop
// together and none waits for one that has gone. An error that not all ranks have names the rank
// and host it is from. Collective.
absl::Status AgreeOn(const absl::Status& status, Communicator* comm);

}  // namespace finetune

#endif  // FINETUNE_TRAIN_AGREE_H_
