#ifndef FINETUNE_COMM_GRAPH_MARK_H_
#define FINETUNE_COMM_GRAPH_MARK_H_

#include <memory>

namespace finetune {

// A point inside a recorded GPU graph (cudaEventRecordExternal), for work outside the graph that
// need not wait for the graph's end. Each launch of the graph sets it anew. On the CPU, where a
// launch returns when all is done, and without --config=cuda it does nothing.
class GraphMark {
 public:
  // Call it while a graph is recorded: the mark comes after all earlier work of the current stream.
  // `device`: the GPU, or -1 for the CPU.
  explicit GraphMark(int device);
  GraphMark(GraphMark&&) noexcept;
  GraphMark& operator=(GraphMark&&) noexcept;
  ~GraphMark();

  // Use it after a launch of the graph: during its life, this thread's new work on the GPU starts
  // when the graph has reached the mark.
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
