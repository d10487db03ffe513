#ifndef FINETUNE_MAIN_UNCAUGHT_H_
#define FINETUNE_MAIN_UNCAUGHT_H_

namespace finetune {

// From here on an exception that nobody catches, on any thread (LibTorch's, or memory that cannot
// be had), is said with this rank and host and ends the process with exit code 1; mpirun then ends
// the other ranks.
void NameRankInUncaughtExceptions();

}  // namespace finetune

#endif  // FINETUNE_MAIN_UNCAUGHT_H_
