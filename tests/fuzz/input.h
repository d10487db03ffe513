#ifndef FINETUNE_TESTS_FUZZ_INPUT_H_
#define FINETUNE_TESTS_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

// libFuzzer calls it with one input after the other. It returns 0, and ends the process where the
// input breaks a promise. Each target of this folder has one.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace finetune {

// Returns an input as text.
absl::string_view Text(const uint8_t* data, size_t size);

// Cuts an input at its lines "----", so that one input stands for several files. Returns `count`
// parts; missing ones are empty, and the last one has all that is left.
std::vector<absl::string_view> Parts(absl::string_view input, size_t count);

// Returns a folder of this process below TEST_TMPDIR. It is created at the first call.
const std::string& InputFolder();

// Writes a file of InputFolder(), in place of an earlier one of this name. Returns its path.
std::string WriteInput(const std::string& name, absl::string_view bytes);

// Ends the process with `promise` where `holds` is false.
void Expect(bool holds, const char* promise);

}  // namespace finetune

#endif  // FINETUNE_TESTS_FUZZ_INPUT_H_
