/*
 * Waiting times between attempts: doubling, capped, and spread so that two hundred rooms that lost
 * the same relay do not come back in the same instant.
 */
export class Backoff {
  #attempt = 0

  constructor(
    private readonly firstMs = 500,
    private readonly lastMs = 8_000,
    private readonly random: () => number = Math.random,
  ) {}

  /** Milliseconds to wait before the next attempt: between half of the step and the whole step. */
  next(): number {
    const step = Math.min(this.lastMs, this.firstMs * 2 ** this.#attempt)
    this.#attempt = Math.min(this.#attempt + 1, 16)
    return step * (0.5 + this.random() / 2)
  }

  /** Start again from the shortest wait: the last attempt went well. */
  reset(): void {
    this.#attempt = 0
  }
}
