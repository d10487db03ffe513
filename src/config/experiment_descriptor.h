#ifndef FINETUNE_CONFIG_EXPERIMENT_DESCRIPTOR_H_
#define FINETUNE_CONFIG_EXPERIMENT_DESCRIPTOR_H_

#include <cstddef>

namespace finetune {

// A FileDescriptorSet of experiment.proto with its comments, in protobuf's binary form. The build
// generates it: see cc_descriptor in third_party/proto.bzl.
extern const unsigned char kExperimentDescriptor[];
extern const size_t kExperimentDescriptorSize;

}  // namespace finetune

#endif  // FINETUNE_CONFIG_EXPERIMENT_DESCRIPTOR_H_
