#ifndef FINETUNE_CONFIG_OVERLAY_H_
#define FINETUNE_CONFIG_OVERLAY_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "src/config/experiment.pb.h"
#include "src/config/origins.h"

namespace finetune {

// What one file, or several laid over each other, say: values, and the place of each.
struct Layer {
  ExperimentConfig values;
  Origins origins;
};

// Returns the fields of `message`, which is at `path`, that are set, in the order of their numbers.
// A list that is empty is among them where it was written as such ("topk: []"): protobuf keeps no
// trace of it, its origin does.
std::vector<const google::protobuf::FieldDescriptor*> WrittenFields(
    const google::protobuf::Message& message, const std::string& path, const Origins& origins);

// Drops the other member of the field's oneof, if `to`, which is at `path`, has one set.
void ClearOtherMember(const google::protobuf::FieldDescriptor* field, const std::string& path,
                      google::protobuf::Message* to, Origins* origins);

// Lays `from` over `to`, both at `path`: messages field by field; scalars and whole lists replace;
// another member of a oneof drops the one that was there.
void Overlay(const google::protobuf::Message& from, const Origins& from_origins,
             const std::string& path, google::protobuf::Message* to, Origins* to_origins);

}  // namespace finetune

#endif  // FINETUNE_CONFIG_OVERLAY_H_
