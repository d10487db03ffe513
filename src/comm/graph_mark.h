#ifndef FINETUNE_COMM_GRAPH_MARK_H_
#define FINETUNE_COMM_GRAPH_MARK_H_

#include <memory>

namespace finetune {

// A point inside a recorded GPU graph, for work outside the graph that need not wait for its end
// (cudaEventRecordExternal). Each launch of the graph sets it anew. On the CPU, where a launch
// returns when all is done, and without --config=cuda it is nothing.
class GraphMark {
 public:
  // While a graph is recorded: after all that the current stream was given. `device`: the GPU, or
  // -1: the CPU.
  explicit GraphMark(int device);
  GraphMark(GraphMark&&) noexcept;
  GraphMark& operator=(GraphMark&&) noexcept;
  ~GraphMark();

  // After a launch: while it lives, what this thread gives to the GPU is done once the graph has
  // come to the mark.
  class After {
   public:
    explicit After(const GraphMark& mark);
    ~After();
    After(const After&) = delete;
    After& operator=(const After&) = delete;

   private:
    struct Stream;
    std::unique_ptr<Stream> stream_;
  };

 private:
  struct Event;
  std::unique_ptr<Event> event_;
};

}  // namespace finetune

#endif  // FINETUNE_COMM_GRAPH_MARK_H_
