#ifndef FINETUNE_MAIN_UNCAUGHT_H_
#define FINETUNE_MAIN_UNCAUGHT_H_

namespace finetune {

// After this call, an exception that no thread catches (LibTorch's, or std::bad_alloc) is printed
// with this rank and host and ends the process with exit code 1. mpirun then ends the other ranks.
void NameRankInUncaughtExceptions();

}  // namespace finetune

#endif  // FINETUNE_MAIN_UNCAUGHT_H_
