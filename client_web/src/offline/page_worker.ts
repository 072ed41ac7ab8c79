/*
 * The service worker as the page sees it: whether the library will open without a network.
 *
 * Lives here: installing it, and trying again while that fails. What must not: what it answers
 * (worker/sw.ts), words. A lesson counts as kept only beside a worker that stands.
 */
import { Backoff } from '../backoff'
import { pause } from '../materials/list'
import { Observable } from '../observable'

/**
 * coming: not installed, or not known yet · active: the page opens without a network · refused: this
 * browser installs none here, as where a person went past a warning of its certificate.
 */
export type WorkerState = 'coming' | 'active' | 'refused'

/** First and longest wait before it is tried again. */
const AGAIN_MS = [4_000, 120_000] as const
/** What browsers call a refusal that trying again does not change; a file that did not come is none. */
const REFUSALS = ['SecurityError', 'NotSupportedError']

export class PageWorker extends Observable {
  #state: WorkerState = 'coming'
  #isStarted = false

  constructor(private readonly container: () => ServiceWorkerContainer) {
    super()
  }

  get state(): WorkerState {
    return this.#state
  }

  /** Install it, or its newer build; returns at once. */
  start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    void this.#run()
  }

  async #run(): Promise<void> {
    const backoff = new Backoff(...AGAIN_MS)
    const container = this.container()
    const never = new AbortController().signal
    const known = await container.getRegistration('/library').catch(() => undefined)
    if (known?.active != null) this.#to('active')
    while (true) {
      try {
        const options = { scope: '/library', updateViaCache: 'none' } as const
        const registration = await container.register('/sw.js', options)
        if (registration.active !== null) return this.#to('active')
        const coming = registration.waiting ?? registration.installing
        // Without every one of its files it is thrown away.
        if (coming !== null && (await isActivated(coming))) return this.#to('active')
      } catch (error) {
        // One that stands answers without its server.
        if (this.#state === 'active') return
        const name = error instanceof Error ? error.name : ''
        if (REFUSALS.includes(name)) return this.#to('refused')
      }
      await pause(backoff.next(), never)
    }
  }

  #to(state: WorkerState): void {
    this.#state = state
    this.changed()
  }
}

/** Resolves when `worker` stands or has failed. */
function isActivated(worker: ServiceWorker): Promise<boolean> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (worker.state !== 'activated' && worker.state !== 'redundant') return
      worker.removeEventListener('statechange', look)
      resolve(worker.state === 'activated')
    }
    worker.addEventListener('statechange', look)
    look()
  })
}

/** A browser has one for all its pages. */
export const pageWorker = new PageWorker(() => navigator.serviceWorker)
