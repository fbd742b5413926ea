// The latent of a seed, as PyTorch draws it on a CPU: the same image as `cxrgan generate --seed`.
// The order of draws is that of torch.randn: aten/src/ATen/native/cpu/DistributionTemplates.h.

/** `size` standard normal numbers of a seed, 0 to 2^32 - 1: torch.randn(size, generator=manual_seed(seed)), up to rounding. */
export function randn(size, seed) {
  const bits = mersenneTwister(seed);
  return size < 16 ? few(size, bits) : many(size, bits);
}

/** A 2-D plane through three latents, bent around the sphere that they lie on: the first is at (0, 0), the second
 * at (1, 0), the third at (0, 1). On the way from one to the next a latent keeps its usual length (White 2016). */
export function onPlane([centre, right, top], x, y) {
  const angle = (Math.PI / 2) * Math.hypot(x, y);
  const away = Math.hypot(x, y) ? Math.sin(angle) / Math.hypot(x, y) : 0;
  const [a, b, c] = [Math.cos(angle), x * away, y * away];
  return centre.map((value, i) => a * value + b * right[i] + c * top[i]);
}

/** Box and Muller's transform of 24-bit uniform numbers, in blocks of 16: the first 8 give radii, the others angles. */
function many(size, bits) {
  const uniform = () => (bits() & 0xffffff) / 2 ** 24;
  const values = Float32Array.from({ length: size }, uniform);
  const transform = (block) => {
    for (let i = 0; i < 8; i++) {
      const radius = Math.sqrt(-2 * Math.log(1 - block[i])), angle = 2 * Math.PI * block[i + 8];
      block[i] = radius * Math.cos(angle);
      block[i + 8] = radius * Math.sin(angle);
    }
  };
  for (let start = 0; start + 16 <= size; start += 16) transform(values.subarray(start, start + 16));
  if (size % 16) {
    const last = values.subarray(size - 16); // drawn anew, over some that were done
    last.forEach((_, i) => { last[i] = uniform(); });
    transform(last);
  }
  return values;
}

/** Fewer than 16 are drawn in pairs, from 53-bit uniform numbers. */
function few(size, bits) {
  const uniform = () => ((bits() & 0x1fffff) * 2 ** 32 + bits()) / 2 ** 53;
  const values = new Float32Array(size);
  for (let i = 0; i < size; i += 2) {
    const angle = 2 * Math.PI * uniform(), radius = Math.sqrt(-2 * Math.log1p(-uniform()));
    values[i] = radius * Math.cos(angle);
    if (i + 1 < size) values[i + 1] = radius * Math.sin(angle);
  }
  return values;
}

/** MT19937 (Matsumoto & Nishimura 1998): a function that gives 32 random bits. */
function mersenneTwister(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  let next = 624;
  const twist = () => {
    for (let i = 0; i < 624; i++) {
      const mixed = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (mixed >>> 1) ^ (mixed & 1 ? 0x9908b0df : 0);
    }
    next = 0;
  };
  return () => {
    if (next === 624) twist();
    let y = state[next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}
