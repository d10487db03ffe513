#ifndef FINETUNE_DATA_TOOLS_BUILDER_OPTIONS_H_
#define FINETUNE_DATA_TOOLS_BUILDER_OPTIONS_H_

#include "data_tools/converters.h"
#include "src/data/builder.h"

namespace finetune {

// The part of a data set's options that every converter takes from its own.
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
