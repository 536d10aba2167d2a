// Backward: dx = gamma / sqrt(var + eps) (dy - mean(dy) - x_hat mean(dy x_hat)), and the two sums
// that are the gradients of beta and gamma. x_hat is computed anew from x: reading it instead
// would cost as much, and the forward pass would have to write it.
//
// Bytes, in passes over a tensor as large as x:
//   gather_sums               reads x and dy                 2
//   gradient                  reads x and dy, writes dx      3   also: inference
//   backward                  reads x and dy, writes dx      3   a block's channels stay in cache
// So the split backward makes 5 passes, and no form of it can make less than 3. With ReLU alone
// the same: whether y was positive is computed anew. With a residual, y is read for that, and dy
// where y is positive, the gradient of the residual, is written, and read in place of dy: 7.

// dy, where the ReLU let it pass.
template <typename T, typename A>
__device__ inline A passed(T dy, T x, const Affine<A>& affine, Index relu) {
  A a = widen(dy);
  if (relu && !(widen(narrow<T>(affine(widen(x)))) > 0)) a = 0;
  return a;
}

// The same by the output y, where there was a residual; what is left is kept for the second pass.
template <typename T, int V, int K>
__device__ inline void mask(Group<T, V, K>& upstream, const T* y, T* dresidual,
                            const Places<K>& at) {
  Group<T, V, K> result;
  result.load(y, at);
#pragma unroll
  for (int k = 0; k < K; ++k) {
#pragma unroll
    for (int v = 0; v < V; ++v) {
      if (!(widen(result.vector[k].value[v]) > 0)) upstream.vector[k].value[v] = narrow<T>(0);
    }
  }
  upstream.store(dresidual, at);
}

template <typename T, typename A, int V, bool ACROSS>
__device__ inline void block_sums(const T* dy, const T* x, const T* y, T* dresidual, Index n,
                                  Index c, Index s, Index relu, void* shared,
                                  const Affine<A> (&affine)[CHANNELS<ACROSS, V>],
                                  Sums<A> (&part)[CHANNELS<ACROSS, V>]) {
  constexpr int L = CHANNELS<ACROSS, V>;
  Total<A> total[V], total_x_hat[V];
  constexpr int K = GROUP<V, 2>;
  Group<T, V, K> upstream, group;
  Walk at = walk(n, c, s);
  while (at.inside()) {
    Places<K> places(at);
    upstream.load(dy, places);
    group.load(x, places);
    if (y) mask(upstream, y, dresidual, places);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      A sum = 0, sum_x_hat = 0;
#pragma unroll
      for (int k = 0; k < K; ++k) {
        if (k >= places.size) continue;
        T value = group.vector[k].value[v];
        const Affine<A>& to = affine[ACROSS ? v : 0];
        A g = passed<T, A>(upstream.vector[k].value[v], value, to, relu);
        sum += g;
        sum_x_hat = fma(g, to.x_hat(widen(value)), sum_x_hat);
      }
      total[v].add(sum);
      total_x_hat[v].add(sum_x_hat);
    }
  }
  Sums<A> lane[V];
#pragma unroll
  for (int v = 0; v < V; ++v) lane[v] = {total[v].value(), total_x_hat[v].value()};
  merge_lanes<L>(lane, part);
  merge_block<L>(part, shared);
}

template <typename T, typename A, int V, bool ACROSS>
__device__ inline void block_gradient(const T* dy, const T* x, T* dx, Index n, Index c, Index s,
                                      Index relu, const Affine<A> (&affine)[CHANNELS<ACROSS, V>],
                                      const Sums<A> (&mean)[CHANNELS<ACROSS, V>]) {
  constexpr int K = GROUP<V, 2>;
  Group<T, V, K> upstream, group;
  Walk at = walk(n, c, s);
  while (at.inside()) {
    Places<K> places(at);
    upstream.load(dy, places);
    group.load(x, places);
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int v = 0; v < V; ++v) {
        T value = group.vector[k].value[v];
        const Affine<A>& to = affine[ACROSS ? v : 0];
        const Sums<A>& of = mean[ACROSS ? v : 0];
        A g = passed<T, A>(upstream.vector[k].value[v], value, to, relu);
        A rest = fma(-to.x_hat(widen(value)), of.dy_x_hat, g - of.dy);
        upstream.vector[k].value[v] = narrow<T>(rest * to.scale);
      }
    }
    upstream.store(dx, places);
  }
}

// A block writes one row of `partial`, which is (2 quantities, gridDim.y rows, channels). y and
// dresidual are given where there was a residual; then relu is 0.
template <typename T, typename A, int V, bool ACROSS>
__global__ void __launch_bounds__(THREADS, BLOCKS<A>)
    gather_sums(const T* dy, const T* x, const T* y, T* dresidual, Index n, Index c, Index s,
                const double* mean, const double* rest, const double* inv_std, const void* gamma,
                Index gamma_kind, const void* beta, Index beta_kind, Index relu, double* partial) {
  constexpr int L = CHANNELS<ACROSS, V>;
  extern __shared__ double shared[];
  Affine<A> affine[L];
  affine_of<A>(mean, rest, inv_std, {gamma, gamma_kind}, {beta, beta_kind}, c, affine);
  Sums<A> part[L];
  block_sums<T, A, V, ACROSS>(dy, x, y, dresidual, n, c, s, relu, shared, affine, part);
  if (threadIdx.y > 0 || channel_vector() >= c) return;
  Index channels = c * L, quantity = gridDim.y * channels;
#pragma unroll
  for (int l = 0; l < L; ++l) {
    Index at = blockIdx.y * channels + channel_vector() * L + l;
    partial[at] = part[l].dy;
    partial[at + quantity] = part[l].dy_x_hat;
  }
}

// One warp a channel: rows of `partial` into the two sums, and into dgamma and dbeta.
__global__ void __launch_bounds__(THREADS)
    merge_sums(const double* partial, Index rows, Index channels, double* sum_dy,
               double* sum_dy_x_hat, void* dgamma, Index dgamma_kind, void* dbeta,
               Index dbeta_kind) {
  Index c = Index(blockIdx.x) * blockDim.y + threadIdx.y;
  Sums<double> part;
  if (c < channels) {
    for (Index row = threadIdx.x; row < rows; row += WARP) {
      const double* at = partial + row * channels + c;
      part = merge(part, {at[0], at[rows * channels]});
    }
  }
  for (int lanes = WARP / 2; lanes; lanes /= 2) part = merge(part, shuffle_down(part, lanes));
  if (c >= channels || threadIdx.x > 0) return;
  sum_dy[c] = part.dy;
  sum_dy_x_hat[c] = part.dy_x_hat;
  store(dgamma, dgamma_kind, c, part.dy_x_hat);
  store(dbeta, dbeta_kind, c, part.dy);
}

template <typename A, int L>
__device__ inline void means_of(const double* sum_dy, const double* sum_dy_x_hat, double count,
                                Index c, Sums<A> (&mean)[L]) {
  if (channel_vector() >= c) return;
#pragma unroll
  for (int l = 0; l < L; ++l) {
    Index at = channel_vector() * L + l;
    mean[l] = {A(sum_dy[at] / count), A(sum_dy_x_hat[at] / count)};
  }
}

// With the sums over the batch, of `count` values; an infinite count is inference.
template <typename T, typename A, int V, bool ACROSS>
__global__ void __launch_bounds__(THREADS, BLOCKS<A>)
    gradient(const T* dy, const T* x, T* dx, Index n, Index c, Index s, const double* mean,
             const double* rest, const double* inv_std, const void* gamma, Index gamma_kind,
             const void* beta, Index beta_kind, Index relu, const double* sum_dy,
             const double* sum_dy_x_hat, double count) {
  constexpr int L = CHANNELS<ACROSS, V>;
  Affine<A> affine[L];
  affine_of<A>(mean, rest, inv_std, {gamma, gamma_kind}, {beta, beta_kind}, c, affine);
  Sums<A> means[L];
  means_of<A>(sum_dy, sum_dy_x_hat, count, c, means);
  block_gradient<T, A, V, ACROSS>(dy, x, dx, n, c, s, relu, affine, means);
}

// All in one launch, where gridDim.y is 1: a block has the whole of its channels.
template <typename T, typename A, int V, bool ACROSS>
__global__ void __launch_bounds__(THREADS, BLOCKS<A>)
    backward(const T* dy, const T* x, const T* y, T* dresidual, T* dx, Index n, Index c, Index s,
             const double* mean, const double* rest, const double* inv_std, const void* gamma,
             Index gamma_kind, const void* beta, Index beta_kind, Index relu, double count,
             double* sum_dy, double* sum_dy_x_hat, void* dgamma, Index dgamma_kind, void* dbeta,
             Index dbeta_kind) {
  constexpr int L = CHANNELS<ACROSS, V>;
  extern __shared__ double shared[];
  Affine<A> affine[L];
  affine_of<A>(mean, rest, inv_std, {gamma, gamma_kind}, {beta, beta_kind}, c, affine);
  Sums<A> part[L], means[L];
  block_sums<T, A, V, ACROSS>(dy, x, y, dresidual, n, c, s, relu, shared, affine, part);
  if (threadIdx.y == 0 && channel_vector() < c) {
#pragma unroll
    for (int l = 0; l < L; ++l) {
      Index at = channel_vector() * L + l;
      sum_dy[at] = part[l].dy;
      sum_dy_x_hat[at] = part[l].dy_x_hat;
      store(dgamma, dgamma_kind, at, part[l].dy_x_hat);
      store(dbeta, dbeta_kind, at, part[l].dy);
    }
  }
  __syncthreads();  // also makes what was written visible to the whole block
  means_of<A>(sum_dy, sum_dy_x_hat, count, c, means);
  // Each thread reads of dresidual what it has itself written.
  block_gradient<T, A, V, ACROSS>(y ? dresidual : dy, x, dx, n, c, s, relu, affine, means);
}
