#ifndef FINETUNE_BASE_SHORTEST_NUMBER_H_
#define FINETUNE_BASE_SHORTEST_NUMBER_H_

#include <string>

namespace finetune {

// Returns the shortest decimal that reads back as the same number: "0.6666666666666666" for 2 / 3,
// where printf's "%.17g" gives 0.66666666666666663 and "%g" a number that is not the same. Large
// and small numbers have an exponent: "1e-08". Returns "nan", "inf" and "-inf" for the others.
std::string ShortestNumber(double value);
std::string ShortestNumber(float value);

}  // namespace finetune

#endif  // FINETUNE_BASE_SHORTEST_NUMBER_H_
