#ifndef FINETUNE_CONFIG_PRINT_H_
#define FINETUNE_CONFIG_PRINT_H_

#include <cstdint>
#include <map>
#include <string>

#include "src/config/config.h"
#include "src/config/experiment.pb.h"
#include "src/config/origins.h"

namespace finetune {

// Returns the config in text format. With `with_origins` each value carries its place as a comment.
// In both cases the text is a config without imports that loads to the same values, except that the
// secrets of URLs are hidden, as HideSecretsOfUrl() does.
std::string PrintConfig(const LoadedConfig& loaded, bool with_origins);

// Returns a number that is equal for equal configs, on every machine and build.
uint64_t ConfigHash(const ExperimentConfig& config);

// Returns the text of each scalar and list that is set, by path. A list is one value; an empty list
// is included if `origins` has a place for it.
std::map<std::string, std::string> ConfigValues(const ExperimentConfig& config,
                                                const Origins& origins = {});

}  // namespace finetune

#endif  // FINETUNE_CONFIG_PRINT_H_
