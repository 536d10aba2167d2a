// Runs CUDA kernels on the CPU: each thread of a block is a fiber, and blocks run in turn.
//
// A fiber runs until it waits: at __syncthreads for its block, at a shuffle for its warp. In which
// order the waiting ones go on is chosen by the caller, for a GPU may choose any. What a fiber
// reads too early is then not there yet: memory is filled with NaN before. Not seen are the speed,
// the alignment that a GPU insists on, and -ftz.
#pragma once
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>
#include <ucontext.h>

#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
};

inline float fma(float a, float b, float c) { return std::fma(a, b, c); }

alignas(16) double shared[(48 << 10) / 8 + 64];  // what a block may ask for, and a guard behind

namespace emulation {

enum State { READY, BARRIER, SHUFFLE, DONE };

struct Fiber {
  dim3 index;
  unsigned number;
  State state;
  bool started;
  int line;         // of the barrier it waits at
  unsigned source;  // of a shuffle: a lane of its warp
  unsigned char given[8], received[8];
  ucontext_t context;
  jmp_buf place;
  std::vector<char> stack;
};

inline std::vector<Fiber> fibers;
inline Fiber* current;
inline jmp_buf scheduler;
inline std::function<void()> body;

inline void wait(State state) {
  current->state = state;
  if (!_setjmp(current->place)) _longjmp(scheduler, 1);
}

inline void entry() {
  body();
  current->state = DONE;
  _longjmp(scheduler, 1);
}

inline void resume(Fiber& fiber) {  // swapcontext would make a system call each time
  current = &fiber;
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}

inline void barrier(int line) {
  current->line = line;
  wait(BARRIER);
}

template <typename T>
T shuffle(unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) <= sizeof(current->given));
  if (mask != 0xffffffff) return T(NAN);  // only whole warps are emulated
  std::memcpy(current->given, &value, sizeof value);
  current->source = source;
  wait(SHUFFLE);
  std::memcpy(&value, current->received, sizeof value);
  return value;
}

// Gives each lane of a warp what it asked for, if all of them are there.
inline bool release_warp(size_t first) {
  size_t end = first + 32;
  if (end > fibers.size()) return false;
  for (size_t i = first; i < end; ++i) {
    if (fibers[i].state != SHUFFLE) return false;
  }
  for (size_t i = first; i < end; ++i) {
    Fiber& from = fibers[fibers[i].source < 32 ? first + fibers[i].source : i];
    std::memcpy(fibers[i].received, from.given, sizeof from.given);
  }
  for (size_t i = first; i < end; ++i) fibers[i].state = READY;
  return true;
}

inline const char* run_block(std::vector<size_t>& order, std::mt19937* random) {
  for (Fiber& fiber : fibers) {
    fiber.state = READY;
    fiber.started = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    makecontext(&fiber.context, entry, 0);
  }
  for (;;) {
    if (random) std::shuffle(order.begin(), order.end(), *random);
    for (size_t i : order) {
      while (fibers[i].state == READY) resume(fibers[i]);
    }
    bool moved = false, all_done = true, all_there = true;
    for (size_t first = 0; first < fibers.size(); first += 32) moved |= release_warp(first);
    int line = 0;
    for (Fiber& fiber : fibers) {
      all_done &= fiber.state == DONE;
      all_there &= fiber.state == DONE || fiber.state == BARRIER;
      if (fiber.state != BARRIER) continue;
      if (line && line != fiber.line) return "threads of a block wait at different barriers";
      line = fiber.line;
    }
    if (all_done) return nullptr;
    if (!moved && !all_there) return "deadlock: some threads never reach a barrier or a shuffle";
    if (moved) continue;
    for (Fiber& fiber : fibers) fiber.state = fiber.state == BARRIER ? READY : fiber.state;
  }
}

}  // namespace emulation

inline dim3 blockIdx, blockDim, gridDim;
#define threadIdx (emulation::current->index)
#define __syncthreads() emulation::barrier(__LINE__)

template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned lanes) {
  return emulation::shuffle(mask, value, emulation::current->number % 32 + lanes);
}

namespace emulation {

struct Launch {
  dim3 grid, block;
  unsigned shared_bytes;
  int order;                // 0: as they are numbered, 1: backwards, else: this seed
  unsigned first, columns;  // run only the blocks with these blockIdx.x; columns 0: all
};

template <typename... P, size_t... I>
const char* run(void (*kernel)(P...), const Launch& launch, void** arguments,
                std::index_sequence<I...>) {
  std::tuple<P...> values(*static_cast<P*>(arguments[I])...);
  body = [&] { std::apply(kernel, values); };
  blockDim = launch.block;
  gridDim = launch.grid;
  size_t threads = size_t(blockDim.x) * blockDim.y * blockDim.z;
  std::vector<size_t> order(threads);
  fibers.resize(threads);
  for (size_t i = 0; i < threads; ++i) {
    order[i] = launch.order == 1 ? threads - 1 - i : i;
    fibers[i].number = i;
    fibers[i].index = {unsigned(i % blockDim.x), unsigned(i / blockDim.x % blockDim.y),
                       unsigned(i / blockDim.x / blockDim.y)};
    fibers[i].stack.resize(1 << 16);
  }
  std::mt19937 random(launch.order);
  if (launch.shared_bytes > (48 << 10)) return "more than 48 KiB of shared memory";
  auto* bytes = reinterpret_cast<unsigned char*>(shared);
  unsigned columns = launch.columns ? launch.columns : gridDim.x;
  size_t blocks = size_t(columns) * gridDim.y * gridDim.z;
  for (size_t b = 0; b < blocks; ++b) {
    size_t i = launch.order == 1 ? blocks - 1 - b : b;
    blockIdx = {launch.first + unsigned(i % columns), unsigned(i / columns % gridDim.y),
                unsigned(i / columns / gridDim.y)};
    std::fill(bytes, bytes + sizeof shared, 0xff);  // NaN, in every dtype
    const char* failure = run_block(order, launch.order > 1 ? &random : nullptr);
    if (failure) return failure;
    if (std::any_of(bytes + launch.shared_bytes, bytes + sizeof shared,
                    [](unsigned char byte) { return byte != 0xff; })) {
      return "a write behind the shared memory that was asked for";
    }
  }
  return nullptr;
}

template <typename... P>
const char* run(void (*kernel)(P...), const Launch* launch, void** arguments) {
  return run(kernel, *launch, arguments, std::index_sequence_for<P...>());
}

// One letter a parameter: pointers to half, float, double, anything; integer, floating point.
template <typename P> constexpr char LETTER = '?';
template <> constexpr char LETTER<long long> = 'i';
template <> constexpr char LETTER<double> = 'e';
template <> constexpr char LETTER<__half*> = 'h';
template <> constexpr char LETTER<float*> = 'f';
template <> constexpr char LETTER<double*> = 'd';
template <> constexpr char LETTER<void*> = 'v';
template <> constexpr char LETTER<const __half*> = 'h';
template <> constexpr char LETTER<const float*> = 'f';
template <> constexpr char LETTER<const double*> = 'd';
template <> constexpr char LETTER<const void*> = 'v';

template <typename... P>
const char* signature(void (*)(P...)) {
  static const char letters[] = {LETTER<P>..., 0};
  return letters;
}

}  // namespace emulation
