#include "src/tune/quiet_communicator.h"

#include <cstdlib>

namespace finetune {

void QuietCommunicator::Abort(absl::string_view reason) {
  inner_.Abort(reason);
  // Never reached. The compiler does not know that the virtual function above does not return.
  std::abort();
}

}  // namespace finetune
