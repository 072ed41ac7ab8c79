/*
 * A pause that can be cut short, by ending (abort) or by good news (wake).
 */
export class Sleeper {
  #wake: (() => void) | null = null

  /** Resolves after `ms`, at once when woken, or when `signal` aborts. Never rejects. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', done)
        if (this.#wake === done) this.#wake = null
        resolve()
      }
      const timer = setTimeout(done, ms)
      if (signal.aborted) return done()
      signal.addEventListener('abort', done)
      this.#wake = done
    })
  }

  /** End the present pause, if there is one. */
  wake(): void {
    this.#wake?.()
  }
}
