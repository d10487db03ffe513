#ifndef FINETUNE_CONFIG_OVERLAY_H_
#define FINETUNE_CONFIG_OVERLAY_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "src/config/experiment.pb.h"
#include "src/config/origins.h"

namespace finetune {

// The values that one config file sets, or several files merged, and the place of each value.
struct Layer {
  ExperimentConfig values;
  Origins origins;
};

// Returns the fields of `message`, which is at `path`, that were written, ordered by field number.
// They include empty lists that were written ("topk: []"): protobuf keeps no trace of those, but
// `origins` has their places.
std::vector<const google::protobuf::FieldDescriptor*> WrittenFields(
    const google::protobuf::Message& message, const std::string& path, const Origins& origins);

// Clears the member of the field's oneof that is set in `to`, unless it is `field` itself. `to` is
// at `path`.
void ClearOtherMember(const google::protobuf::FieldDescriptor* field, const std::string& path,
                      google::protobuf::Message* to, Origins* origins);

// Merges `from` into `to`; both are at `path`. Messages are merged field by field. Scalars and
// whole lists replace those in `to`. A member of a oneof replaces the member that is set in `to`.
void Overlay(const google::protobuf::Message& from, const Origins& from_origins,
             const std::string& path, google::protobuf::Message* to, Origins* to_origins);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_OVERLAY_H_
