/*
 * The one way in which protocol objects tell the screen that something changed.
 */
export type Unsubscribe = () => void

export class Observable {
  readonly #listeners = new Set<() => void>()

  /** Call `listener` after every change until the returned function is called. */
  onChange(listener: () => void): Unsubscribe {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  protected changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
