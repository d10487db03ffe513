#ifndef FINETUNE_CONFIG_PRINT_H_
#define FINETUNE_CONFIG_PRINT_H_

#include <cstdint>
#include <map>
#include <string>

#include "src/config/config.h"
#include "src/config/experiment.pb.h"
#include "src/config/origins.h"

namespace finetune {

// Returns the config as text format. With origins, each value carries its place as a comment.
// Either way it is itself a config without imports that loads to the same values.
std::string PrintConfig(const LoadedConfig& loaded, bool with_origins);

// Returns a number that is equal for equal configs, on every machine and build.
uint64_t ConfigHash(const ExperimentConfig& config);

// Returns the text of each value that is set, by its path. A list is one value; one that is empty
// is among them where `origins` has its place.
std::map<std::string, std::string> ConfigValues(const ExperimentConfig& config,
                                                const Origins& origins = {});

}  // namespace finetune

#endif  // FINETUNE_CONFIG_PRINT_H_
