/*
 * SHA-256 (FIPS 180-4) of a file that comes piece by piece.
 *
 * Pure. Browsers compute it of what is in memory as a whole only, which a tablet has no room for when a
 * file is large; there it is the faster one (digest.ts).
 */

/** Bytes that are taken at once. */
const BLOCK = 64
/** The last eight bytes of the last block say how long it all is. */
const LENGTH_AT = BLOCK - 8

/** The first 32 bits of the fractional parts of `root` of the first primes. */
function fractions(count: number, root: (prime: number) => number): Int32Array {
  const found: number[] = []
  for (let one = 2; found.length < count; one += 1) {
    let isPrime = true
    for (let part = 2; part * part <= one; part += 1) if (one % part === 0) isPrime = false
    if (isPrime) found.push((root(one) % 1) * 2 ** 32)
  }
  return Int32Array.from(found, (value) => value | 0)
}

const START = fractions(8, Math.sqrt)
const ROUNDS = fractions(64, Math.cbrt)

export class RunningDigest {
  readonly #state = START.slice()
  /** What is not a whole block yet. */
  readonly #rest = new Uint8Array(BLOCK)
  readonly #words = new Int32Array(64)
  #length = 0

  update(piece: Uint8Array): void {
    const filled = this.#length % BLOCK
    this.#length += piece.byteLength
    let at = 0
    if (filled > 0) {
      at = Math.min(BLOCK - filled, piece.byteLength)
      this.#rest.set(piece.subarray(0, at), filled)
      if (filled + at < BLOCK) return
      this.#take(new DataView(this.#rest.buffer), 0)
    }
    const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength)
    for (; at + BLOCK <= piece.byteLength; at += BLOCK) this.#take(view, at)
    this.#rest.set(piece.subarray(at))
  }

  /** In hex; nothing may be added any more. */
  end(): string {
    const length = this.#length
    const filled = length % BLOCK
    const last = new Uint8Array(filled < LENGTH_AT ? BLOCK : 2 * BLOCK)
    last.set(this.#rest.subarray(0, filled))
    last[filled] = 0x80
    const view = new DataView(last.buffer)
    view.setBigUint64(last.byteLength - 8, 8n * BigInt(length))
    for (let at = 0; at < last.byteLength; at += BLOCK) this.#take(view, at)
    return Array.from(this.#state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
  }

  #take(view: DataView, at: number): void {
    const words = this.#words
    const word = (index: number): number => words[index] as number
    for (let i = 0; i < 16; i += 1) words[i] = view.getInt32(at + 4 * i)
    for (let i = 16; i < 64; i += 1) {
      const [early, late] = [word(i - 15), word(i - 2)]
      const mixed = turn(early, 7) ^ turn(early, 18) ^ (early >>> 3)
      const other = turn(late, 17) ^ turn(late, 19) ^ (late >>> 10)
      words[i] = (word(i - 16) + mixed + word(i - 7) + other) | 0
    }
    const state = this.#state
    const of = (index: number): number => state[index] as number
    let [a, b, c, d, e, f, g, h] = [of(0), of(1), of(2), of(3), of(4), of(5), of(6), of(7)]
    for (let i = 0; i < 64; i += 1) {
      const chosen = (e & f) ^ (~e & g)
      const first =
        (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + chosen + (ROUNDS[i] as number) + word(i)) |
        0
      const most = (a & b) ^ (a & c) ^ (b & c)
      const second = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + most) | 0
      h = g
      g = f
      f = e
      e = (d + first) | 0
      d = c
      c = b
      b = a
      a = (first + second) | 0
    }
    state[0] = of(0) + a
    state[1] = of(1) + b
    state[2] = of(2) + c
    state[3] = of(3) + d
    state[4] = of(4) + e
    state[5] = of(5) + f
    state[6] = of(6) + g
    state[7] = of(7) + h
  }
}

const turn = (word: number, by: number): number => (word >>> by) | (word << (32 - by))
