// Sums that threads find for themselves and then merge: count, mean and m2 forward, and the two
// sums of the backward pass. A is float or double, what they are carried in.

template <typename A>
struct Moments {
  A n = 0, mean = 0, m2 = 0;
};

// Chan, Golub and LeVeque (1983): the moments of two sets of values together.
template <typename A>
__device__ inline Moments<A> merge(Moments<A> a, Moments<A> b) {
  A n = a.n + b.n;
  if (n == 0) return a;
  A delta = b.mean - a.mean, part = b.n / n;
  return {n, a.mean + delta * part, a.m2 + b.m2 + delta * delta * a.n * part};
}

template <typename A>
__device__ inline Moments<A> shuffle_down(Moments<A> a, int lanes) {
  return {__shfl_down_sync(0xffffffff, a.n, lanes), __shfl_down_sync(0xffffffff, a.mean, lanes),
          __shfl_down_sync(0xffffffff, a.m2, lanes)};
}

template <typename A>
struct Sums {
  A dy = 0, dy_x_hat = 0;
};

template <typename A>
__device__ inline Sums<A> merge(Sums<A> a, Sums<A> b) {
  return {a.dy + b.dy, a.dy_x_hat + b.dy_x_hat};
}

template <typename A>
__device__ inline Sums<A> shuffle_down(Sums<A> a, int lanes) {
  return {__shfl_down_sync(0xffffffff, a.dy, lanes),
          __shfl_down_sync(0xffffffff, a.dy_x_hat, lanes)};
}

// A sum, and what rounding has taken from it (Knuth's exact addition).
template <typename A>
struct Total {
  A sum = 0, lost = 0;

  __device__ void add(A a) {
    A next = sum + a, taken = next - sum;
    lost += (sum - (next - taken)) + (a - taken);
    sum = next;
  }

  __device__ A value() const { return sum + lost; }
};

// Merges `part` over all threads of the block that have the same threadIdx.x; the one of them with
// threadIdx.y 0 has the result. blockDim.x is a power of two up to 32. First by shuffles in each
// warp, whose lanes i and i + blockDim.x have the same x; then over the warps.
template <int L, typename M>
__device__ inline void merge_block(M (&part)[L], void* memory) {
  M* shared = static_cast<M*>(memory);
  int width = blockDim.x, thread = threadIdx.y * width + threadIdx.x;
  int warp = thread / WARP, warps = width * blockDim.y / WARP;
  for (int lanes = WARP / 2; lanes >= width; lanes /= 2) {
#pragma unroll
    for (int l = 0; l < L; ++l) part[l] = merge(part[l], shuffle_down(part[l], lanes));
  }
  if (thread % WARP < width) {
#pragma unroll
    for (int l = 0; l < L; ++l) shared[(warp * width + threadIdx.x) * L + l] = part[l];
  }
  __syncthreads();
  if (threadIdx.y > 0) return;
  for (int w = 1; w < warps; ++w) {
#pragma unroll
    for (int l = 0; l < L; ++l) {
      part[l] = merge(part[l], shared[(w * width + threadIdx.x) * L + l]);
    }
  }
}

// Of V lanes of a thread, "across": V channels, each its own; "along": one channel.
template <bool ACROSS, int V>
constexpr int CHANNELS = ACROSS ? V : 1;

template <int L, int V, typename M>
__device__ inline void merge_lanes(const M (&lane)[V], M (&part)[L]) {
#pragma unroll
  for (int l = 0; l < L; ++l) part[l] = lane[l];
#pragma unroll
  for (int v = L; v < V; ++v) part[0] = merge(part[0], lane[v]);
}
