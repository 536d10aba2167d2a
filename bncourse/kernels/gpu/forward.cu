// Forward: y = gamma (x - mean) / sqrt(var + eps) + beta, then, if asked for, + residual and ReLU.
//
// Bytes, in passes over a tensor as large as x (a residual adds one):
//   gather_moments            reads x                        1
//   normalize                 reads x, writes y              2   also: inference
//   forward                   reads x, writes y              2   a block's channels stay in cache
// So the split forward makes 3 passes, and no form of it can make less than 2.

// What happens to the values of one channel. The mean is carried as a sum of two: x - high is
// exact where x is near it, so no digit of a large mean is lost, whatever A is.
template <typename A>
struct Affine {
  A high, low, inv_std, scale, shift;

  __device__ Affine() {}
  __device__ Affine(double mean, double rest, double inv_std_, double gamma, double beta)
      : high(A(mean)), low(A(mean - double(A(mean)) + rest)), inv_std(A(inv_std_)),
        scale(A(inv_std_ * gamma)), shift(A(beta)) {}

  __device__ A centered(A x) const { return (x - high) - low; }
  __device__ A x_hat(A x) const { return centered(x) * inv_std; }
  // Rounded once: forward and backward must agree on where it is positive.
  __device__ A operator()(A x) const { return fma(centered(x), scale, shift); }
};

template <typename A>
__device__ inline A rectified(A a) {
  return a < 0 ? A(0) : a;  // a NaN stays a NaN
}

// The moments of x - origin over a walk, each lane its own: Welford's recurrence, a group of
// values at a time. origin is one of the channel's values, so the mean of what is summed is small.
template <typename T, typename A, int V>
__device__ inline void gather(const T* x, Walk at, const A (&origin)[V], Moments<A> (&lane)[V]) {
  constexpr int K = GROUP<V, 1>;
  Group<T, V, K> group;
  while (at.inside()) {
    Places<K> places(at);
    group.load(x, places);
    A size = places.size, n = lane[0].n, part = size / (n + size);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      A d[K], sum = 0, m2 = 0;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        d[k] = k < places.size ? A(widen(group.vector[k].value[v])) - origin[v] : A(0);
        sum += d[k];
      }
      A mean = sum / size;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        A e = k < places.size ? d[k] - mean : A(0);
        m2 += e * e;
      }
      A delta = mean - lane[v].mean;
      lane[v].n = n + size;
      lane[v].mean += delta * part;
      lane[v].m2 += m2 + delta * delta * n * part;
    }
  }
}

// Moments of x - origin over a block's share of its channels, for the threads with threadIdx.y 0.
template <typename T, typename A, int V, bool ACROSS>
__device__ inline void block_moments(const T* x, Index n, Index c, Index s, void* shared,
                                     A (&origin)[V], Moments<A> (&part)[CHANNELS<ACROSS, V>]) {
  Moments<A> lane[V];
  Index first = channel_vector() < c ? channel_vector() * s * V : 0;
#pragma unroll
  for (int v = 0; v < V; ++v) origin[v] = A(widen(x[first + (ACROSS ? v : 0)]));
  gather<T, A, V>(x, walk(n, c, s), origin, lane);
  merge_lanes<CHANNELS<ACROSS, V>>(lane, part);
  merge_block<CHANNELS<ACROSS, V>>(part, shared);
}

// The statistics of a channel, as they leave: rest is what rounding takes from the mean.
struct Statistics {
  double *mean, *rest, *m2, *inv_std;

  __device__ void set(Index c, double origin, Moments<double> moments, double eps) const {
    Total<double> center;
    center.add(origin);
    center.add(moments.mean);
    mean[c] = center.sum;
    rest[c] = center.lost;
    m2[c] = moments.m2;
    inv_std[c] = 1 / sqrt(moments.m2 / moments.n + eps);
  }
};

template <typename T, typename A, int V, bool ACROSS>
__device__ inline void block_normalize(const T* x, const T* residual, T* y, Index n, Index c,
                                       Index s, Index relu,
                                       const Affine<A> (&affine)[CHANNELS<ACROSS, V>]) {
  Walk at = walk(n, c, s);
  constexpr int K = GROUP<V, 1>;
  Group<T, V, K> group, other;
  while (at.inside()) {
    Places<K> places(at);
    group.load(x, places);
    if (residual) other.load(residual, places);
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        A a = affine[ACROSS ? v : 0](widen(group.vector[k].value[v]));
        if (residual) a += A(widen(other.vector[k].value[v]));
        if (relu) a = rectified(a);
        group.vector[k].value[v] = narrow<T>(a);
      }
    }
    group.store(y, places);
  }
}

// What happens to the channels of this thread. Where no rest is given it is 0.
template <typename A, int L>
__device__ inline void affine_of(const double* mean, const double* rest, const double* inv_std,
                                 Parameter gamma, Parameter beta, Index c, Affine<A> (&affine)[L]) {
  if (channel_vector() >= c) return;
#pragma unroll
  for (int l = 0; l < L; ++l) {
    Index at = channel_vector() * L + l;
    affine[l] = Affine<A>(mean[at], rest ? rest[at] : 0, inv_std[at], gamma.at(at, 1),
                          beta.at(at, 0));
  }
}

// A block writes one row of `partial`, which is (4 quantities, gridDim.y rows, channels).
template <typename T, typename A, int V, bool ACROSS>
__global__ void __launch_bounds__(THREADS, BLOCKS<A>)
    gather_moments(const T* x, Index n, Index c, Index s, double* partial) {
  constexpr int L = CHANNELS<ACROSS, V>;
  extern __shared__ double shared[];
  A origin[V];
  Moments<A> part[L];
  block_moments<T, A, V, ACROSS>(x, n, c, s, shared, origin, part);
  if (threadIdx.y > 0 || channel_vector() >= c) return;
  Index channels = c * L, quantity = gridDim.y * channels;
#pragma unroll
  for (int l = 0; l < L; ++l) {
    Index at = blockIdx.y * channels + channel_vector() * L + l;
    partial[at] = part[l].n;
    partial[at + quantity] = part[l].mean;
    partial[at + 2 * quantity] = part[l].m2;
    partial[at + 3 * quantity] = origin[l];
  }
}

// One warp a channel, over the rows of `partial`.
__global__ void __launch_bounds__(THREADS)
    merge_moments(const double* partial, Index rows, Index channels, double eps, double* mean,
                  double* rest, double* m2, double* inv_std) {
  Index c = Index(blockIdx.x) * blockDim.y + threadIdx.y, quantity = rows * channels;
  Moments<double> part;
  if (c < channels) {
    for (Index row = threadIdx.x; row < rows; row += WARP) {
      const double* at = partial + row * channels + c;
      part = merge(part, {at[0], at[quantity], at[2 * quantity]});
    }
  }
  for (int lanes = WARP / 2; lanes; lanes /= 2) part = merge(part, shuffle_down(part, lanes));
  if (c >= channels || threadIdx.x > 0) return;
  Statistics{mean, rest, m2, inv_std}.set(c, partial[c + 3 * quantity], part, eps);
}

// Statistics that are given, in any dtype, in the form that the other kernels take.
__global__ void __launch_bounds__(THREADS)
    given_moments(const void* given_mean, Index mean_kind, const void* given_var, Index var_kind,
                  double eps, Index channels, double* mean, double* inv_std) {
  Index c = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (c >= channels) return;
  mean[c] = Parameter{given_mean, mean_kind}.at(c, 0);
  inv_std[c] = 1 / sqrt(Parameter{given_var, var_kind}.at(c, 1) + eps);
}

template <typename T, typename A, int V, bool ACROSS>
__global__ void __launch_bounds__(THREADS, BLOCKS<A>)
    normalize(const T* x, const T* residual, T* y, Index n, Index c, Index s, const double* mean,
              const double* rest, const double* inv_std, const void* gamma, Index gamma_kind,
              const void* beta, Index beta_kind, Index relu) {
  Affine<A> affine[CHANNELS<ACROSS, V>];
  affine_of<A>(mean, rest, inv_std, {gamma, gamma_kind}, {beta, beta_kind}, c, affine);
  block_normalize<T, A, V, ACROSS>(x, residual, y, n, c, s, relu, affine);
}

// All in one launch, where gridDim.y is 1: a block has the whole of its channels.
template <typename T, typename A, int V, bool ACROSS>
__global__ void __launch_bounds__(THREADS, BLOCKS<A>)
    forward(const T* x, const T* residual, T* y, Index n, Index c, Index s, double eps,
            const void* gamma, Index gamma_kind, const void* beta, Index beta_kind, Index relu,
            double* mean, double* rest, double* m2, double* inv_std) {
  constexpr int L = CHANNELS<ACROSS, V>;
  extern __shared__ double shared[];
  A origin[V];
  Moments<A> part[L];
  block_moments<T, A, V, ACROSS>(x, n, c, s, shared, origin, part);
  if (threadIdx.y == 0 && channel_vector() < c) {
    Statistics to = {mean, rest, m2, inv_std};
#pragma unroll
    for (int l = 0; l < L; ++l) {
      Moments<double> wide = {part[l].n, part[l].mean, part[l].m2};
      to.set(channel_vector() * L + l, origin[l], wide, eps);
    }
  }
  __syncthreads();  // also makes what was written visible to the whole block
  Affine<A> affine[L];
  affine_of<A>(mean, rest, inv_std, {gamma, gamma_kind}, {beta, beta_kind}, c, affine);
  block_normalize<T, A, V, ACROSS>(x, residual, y, n, c, s, relu, affine);
}
