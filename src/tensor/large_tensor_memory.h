#ifndef FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_
#define FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_

#include <c10/core/Allocator.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

namespace finetune {

// LibTorch's memory for CPU tensors, where they are large (feature maps, gradients): what one
// leaves is the next one's, in huge pages. malloc gives such memory back to the system each time,
// and the page faults of taking it again can cost more than the arithmetic.
//
// Blocks are cut from one reserved range of addresses, the smallest free one that fits, and free
// neighbours grow together. The memory in use is the most that was needed at once. Smaller tensors,
// and those that find no room, get theirs from `others`. Safe from any thread.
class LargeTensorMemory final : public c10::Allocator {
 public:
  // From how many bytes on a tensor is large.
  static constexpr size_t kLarge = size_t{1} << 20;

  // `others` must outlive it and have raw_deallocate(). Where the system reserves no addresses, all
  // goes to `others`.
  LargeTensorMemory(size_t reserved_bytes, c10::Allocator* others);
  // All tensors are gone.
  ~LargeTensorMemory() override;
  LargeTensorMemory(const LargeTensorMemory&) = delete;
  LargeTensorMemory& operator=(const LargeTensorMemory&) = delete;

  c10::DataPtr allocate(size_t bytes) override;
  c10::DeleterFnPtr raw_deleter() const override { return &Release; }
  void copy_data(void* to, const void* from, size_t bytes) const override;

  // Bytes of the range, from its beginning, that were ever part of a block.
  size_t high_water() const;

 private:
  // Lies before each tensor's data: a deleter of LibTorch's is given no more than those.
  struct Header;
  static void Release(void* data);
  char* Take(size_t bytes);
  bool Open(size_t bytes);
  void GiveBack(char* begin, size_t bytes);

  c10::Allocator& others_;
  char* range_ = nullptr;
  size_t reserved_ = 0;
  mutable std::mutex mutex_;
  size_t high_water_ = 0;
  size_t open_ = 0;
  // By address, and by size and address.
  std::map<char*, size_t> free_;
  std::set<std::pair<size_t, char*>> free_by_size_;
};

// Has LibTorch take CPU memory from one of these, for as long as the process runs: tensors may end
// after anything that could own it. Before the first tensor.
void UseLargeTensorMemory();

}  // namespace finetune

#endif  // FINETUNE_TENSOR_LARGE_TENSOR_MEMORY_H_
