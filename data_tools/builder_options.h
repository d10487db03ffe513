#ifndef FINETUNE_DATA_TOOLS_BUILDER_OPTIONS_H_
#define FINETUNE_DATA_TOOLS_BUILDER_OPTIONS_H_

#include "data_tools/converters.h"
#include "src/data/builder.h"

namespace finetune {

// Returns the options of DatasetBuilder that follow from the options that all converters share.
inline DatasetBuilder::Options BuilderOptions(const ConvertOptions& options) {
  DatasetBuilder::Options build;
  build.folder = options.output;
  build.force = options.force;
  build.shards = options.shards;
  build.source = options.input;
  build.progress = options.progress;
  build.warn = options.warn;
  return build;
}

}  // namespace finetune

#endif  // FINETUNE_DATA_TOOLS_BUILDER_OPTIONS_H_
