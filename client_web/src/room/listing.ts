/*
 * What the room's relay lists of a running lesson's recording, asked for now and then.
 *
 * Lives here: asking, and telling the relay's dates from times of the recording. What must not:
 * reading playlists (recorded), playing, deciding.
 */
import { firstVariant, LessonClock, readPlaylist, type Recorded } from './recorded'

const ASK_EVERY_MS = 2_000

export class Listing {
  #clock = new LessonClock()
  #epoch: number | null = null
  #isAsking = false
  #askAgainAt = -Infinity

  /**
   * archive: address of the lesson's recording, without a slash at the end. read: the text at an
   * address, or null. date: the relay's clock.
   */
  constructor(
    private readonly archive: string,
    private readonly read: (url: string) => Promise<string | null>,
    private readonly date: () => number,
  ) {}

  /** What is listed now; null when nothing is, or it was asked only just now. */
  async ask(): Promise<Recorded | null> {
    if (this.#isAsking || this.date() < this.#askAgainAt) return null
    this.#isAsking = true
    try {
      let text = await this.read(`${this.archive}/voice.m3u8?tail=1`)
      if (text === null) {
        // Somebody teaches without a voice.
        const first = firstVariant((await this.read(`${this.archive}/master.m3u8`)) ?? '')
        text = first === null ? null : await this.read(`${this.archive}/${first}`)
      }
      const recorded = text === null ? null : readPlaylist(text)
      if (recorded !== null) {
        this.#epoch = recorded.epoch
        this.note(recorded.end)
      }
      return recorded
    } finally {
      this.#isAsking = false
      this.#askAgainAt = this.date() + ASK_EVERY_MS
    }
  }

  /** The list was seen to end at `end` seconds now. */
  note(end: number): void {
    if (this.#epoch !== null) this.#clock.note(this.#epoch + end * 1000, this.date())
  }

  /** Seconds since `date`. */
  age(date: number): number {
    return (this.date() - date) / 1000
  }

  /** Seconds in the recording of a date of the relay's clock; null while nothing was listed. */
  timeOf(date: number): number | null {
    return this.#epoch === null ? null : (this.#clock.taughtAt(date) - this.#epoch) / 1000
  }
}
