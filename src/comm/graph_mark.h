#ifndef FINETUNE_COMM_GRAPH_MARK_H_
#define FINETUNE_COMM_GRAPH_MARK_H_

#include <memory>

namespace finetune {

// A point inside a recorded CUDA graph. Work outside the graph can wait for this point instead of
// the graph's end. It is a CUDA event that the graph records (cudaEventRecordExternal): each launch
// of the graph resets the event, and sets it when the graph reaches the point. On the CPU and
// without --config=cuda a mark does nothing: there a launch returns only when all its work is done.
class GraphMark {
 public:
  // Call it while a graph is being recorded. The mark is the point after all work that the current
  // stream has recorded so far. `device`: the number of the GPU, or -1 for the CPU.
  explicit GraphMark(int device);
  GraphMark(GraphMark&&) noexcept;
  GraphMark& operator=(GraphMark&&) noexcept;
  ~GraphMark();

  // A guard to create after a launch of the graph. While it lives, GPU work that this thread
  // submits starts when that launch has reached the mark.
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
