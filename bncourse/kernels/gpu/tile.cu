// Where the values of a channel lie, and how a block of threads shares them.
//
// A tensor is (n, c, s), contiguous in that order: NCHW with s = H W, NHWC and (N, D) with s = 1.
// Values are read V at a time, 16 bytes where the shape allows it: V positions of one channel
// ("along"), or, where s is 1, one value of each of V neighboring channels ("across", at most 4).
// From here on n, c and s count vectors.
//
// A block is blockDim.x channels wide (1, or enough of them to make 128 neighboring bytes) and has
// blockDim.y threads for the values of each. gridDim.y blocks share the values of one channel.

#include <cuda_fp16.h>

typedef long long Index;  // there are tensors of more than 2^31 values

constexpr int THREADS = 256;
constexpr int WARP = 32;

// Blocks that should find room on a multiprocessor: its registers are divided among so many.
template <typename A>
constexpr int BLOCKS = sizeof(A) == 4 ? 2 : 1;

template <typename T, int V>
struct alignas(V * sizeof(T)) Vector {
  T value[V];
};

// Loads that a thread has under way at once, from each of so many arrays. Memory answers in
// hundreds of cycles, and what is asked for in that time is what keeps it busy.
template <int V, int ARRAYS>
constexpr int GROUP = (V == 1 ? 8 : V == 8 ? 2 : 4) / ARRAYS;

__device__ inline float widen(__half a) { return __half2float(a); }
__device__ inline float widen(float a) { return a; }
__device__ inline double widen(double a) { return a; }

template <typename T>
__device__ inline T narrow(double a) { return T(a); }
template <>
__device__ inline __half narrow<__half>(double a) { return __float2half(float(a)); }

// A scale or a shift of whatever dtype the caller keeps it in.
enum Kind { NONE = 0, HALF = 1, FLOAT = 2, DOUBLE = 3 };

struct Parameter {
  const void* value;
  Index kind;

  __device__ double at(Index c, double otherwise) const {
    if (kind == HALF) return widen(static_cast<const __half*>(value)[c]);
    if (kind == FLOAT) return static_cast<const float*>(value)[c];
    if (kind == DOUBLE) return static_cast<const double*>(value)[c];
    return otherwise;
  }
};

__device__ inline void store(void* value, Index kind, Index c, double a) {
  if (kind == HALF) static_cast<__half*>(value)[c] = narrow<__half>(a);
  if (kind == FLOAT) static_cast<float*>(value)[c] = float(a);
  if (kind == DOUBLE) static_cast<double*>(value)[c] = a;
}

// The vectors i = first, first + step, ... of channel vector c, and the offset of each. There is
// no division on the way: a step is so many whole rows, and a rest that may run into the next.
struct Walk {
  Index i, count, step;
  Index offset, step_offset;
  Index s, row, step_s, next_row;

  __device__ Walk(Index n, Index channels, Index s_count, Index c, Index first, Index step_)
      : i(first), count(c < channels ? n * s_count : 0), step(step_), row(s_count) {
    Index rows = channels * s_count;  // from a position of one example to that of the next
    s = first % row;
    step_s = step % row;
    offset = first / row * rows + c * row + s;
    step_offset = step / row * rows + step_s;
    next_row = rows - row;
  }

  __device__ bool inside() const { return i < count; }

  __device__ void advance() {
    i += step;
    s += step_s;
    offset += step_offset;
    if (s >= row) {
      s -= row;
      offset += next_row;
    }
  }
};

__device__ inline Index channel_vector() { return Index(blockIdx.x) * blockDim.x + threadIdx.x; }

// What this thread visits of its channel vector.
__device__ inline Walk walk(Index n, Index c, Index s) {
  return Walk(n, c, s, channel_vector(), Index(blockIdx.y) * blockDim.y + threadIdx.y,
              Index(gridDim.y) * blockDim.y);
}

// The offsets of the next vectors of a walk, K of them or what is left.
template <int K>
struct Places {
  Index offset[K];
  int size = 0;

  __device__ explicit Places(Walk& at) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (at.inside()) {
        offset[k] = at.offset;
        size = k + 1;
      }
      at.advance();
    }
  }
};

// What lies at these places: all of it is asked for before any of it is used.
template <typename T, int V, int K>
struct Group {
  Vector<T, V> vector[K];

  __device__ void load(const T* x, const Places<K>& at) {
    const Vector<T, V>* vectors = reinterpret_cast<const Vector<T, V>*>(x);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (k < at.size) vector[k] = vectors[at.offset[k]];
    }
  }

  __device__ void store(T* y, const Places<K>& at) const {
    Vector<T, V>* vectors = reinterpret_cast<Vector<T, V>*>(y);
#pragma unroll
    for (int k = 0; k < K; ++k) {
      if (k < at.size) vectors[at.offset[k]] = vector[k];
    }
  }
};
