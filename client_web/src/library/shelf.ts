/*
 * The part of the library that is on the screen: what the server finds for these words, so far.
 *
 * Lives here: asking, asking again, and asking for more. What must not: elements and words. The
 * server searches, so the whole library is within reach and a page of it costs some kilobytes; what
 * has not changed since comes from the browser's own cache after one short question.
 */
import type { Api, Labels, Lesson } from '../api'
import { Observable } from '../observable'
import { Sleeper } from '../sleeper'

export type Filter = 'all' | 'recorded' | 'running'

const STATES: Readonly<Record<Filter, string>> = {
  all: 'live,ended,published',
  recorded: 'ended,published',
  running: 'live',
}
export const PART = 50
/** Asked again so soon after something changed, and ever more slowly while nothing does. */
const SOON_MS = 20_000
const LATE_MS = 160_000
const RETRY_MS = 4_000
/** Letters typed one after the other are one question. */
const TYPING_MS = 300

export class Shelf extends Observable {
  #words = ''
  #filter: Filter = 'all'
  #subject = ''
  #grade = ''
  #school = ''
  #labels: Labels = { subjects: [], grades: [], schools: [] }
  #parts = 1
  #lessons: Lesson[] | null = null
  #total = 0
  #fault: unknown = null
  #asking = new AbortController()
  #typing: ReturnType<typeof setTimeout> | undefined
  #sleeper = new Sleeper()

  constructor(private readonly api: Pick<Api, 'lessons'> & Partial<Pick<Api, 'labels'>>) {
    super()
  }

  get words(): string {
    return this.#words
  }

  get filter(): Filter {
    return this.#filter
  }

  /** The subject that is looked for, empty for all; likewise the grade and the school. */
  get subject(): string {
    return this.#subject
  }

  get grade(): string {
    return this.#grade
  }

  get school(): string {
    return this.#school
  }

  /** Whether everything is looked for. */
  get wide(): boolean {
    const asked = [this.#words, this.#subject, this.#grade, this.#school].join('')
    return asked === '' && this.#filter === 'all'
  }

  /** Subjects, grades and schools to choose from; none where the server does not tell them. */
  get labels(): Labels {
    return this.#labels
  }

  /** What was found, as far as it was asked for; null before the first answer. */
  get lessons(): Lesson[] | null {
    return this.#lessons
  }

  /** How many there are, shown or not. */
  get total(): number {
    return this.#total
  }

  /** What the last question failed with, or null. */
  get fault(): unknown {
    return this.#fault
  }

  /** Ask until the returned function is called. */
  start(): () => void {
    const stop = new AbortController()
    void this.#run(stop.signal)
    return () => {
      stop.abort()
      this.#asking.abort()
    }
  }

  find(words: string, filter: Filter): void {
    const typed = filter === this.#filter
    this.#words = words
    this.#filter = filter
    this.#parts = 1
    clearTimeout(this.#typing)
    this.#typing = setTimeout(() => this.#again(), typed ? TYPING_MS : 0)
    this.changed()
  }

  /** Show lessons of a subject, a grade and a school alone; empty for all. */
  narrow(subject: string, grade: string, school: string): void {
    this.#subject = subject
    this.#grade = grade
    this.#school = school
    this.#parts = 1
    this.#again()
    this.changed()
  }

  more(): void {
    this.#parts += 1
    this.#again()
  }

  /** What is being asked is not wanted any more. */
  #again(): void {
    this.#asking.abort()
    this.#sleeper.wake()
  }

  async #run(stop: AbortSignal): Promise<void> {
    let known = ''
    let wait = SOON_MS
    while (!stop.aborted) {
      const asking = (this.#asking = new AbortController())
      let pause: number
      try {
        const found = await this.#ask(asking.signal)
        if (asking.signal.aborted) continue
        const now = JSON.stringify(found)
        wait = now === known ? Math.min(LATE_MS, wait * 2) : SOON_MS
        // Other lessons may bring other labels.
        if (now !== known && this.wide) this.#askLabels()
        known = now
        pause = wait
        this.#lessons = found.lessons
        this.#total = found.total
        this.#fault = null
      } catch (error) {
        if (asking.signal.aborted) continue
        this.#fault = error
        pause = RETRY_MS
      }
      this.changed()
      await this.#sleeper.sleep(pause, stop)
    }
  }

  #askLabels(): void {
    this.api.labels?.().then(
      (labels) => {
        // A relay of an earlier version tells fewer.
        this.#labels = { ...this.#labels, ...labels }
        this.changed()
      },
      // The control plane has no such list; words find subjects and grades, too.
      () => undefined,
    )
  }

  async #ask(signal: AbortSignal): Promise<{ lessons: Lesson[]; total: number }> {
    // A lesson that was added meanwhile moves the others on: nothing may stand there twice.
    const lessons = new Map<string, Lesson>()
    let total = 0
    for (let part = 0; part < this.#parts; part += 1) {
      const query = {
        q: this.#words.trim(),
        state: STATES[this.#filter],
        ...(this.#subject === '' ? {} : { subject: this.#subject }),
        ...(this.#grade === '' ? {} : { grade: this.#grade }),
        ...(this.#school === '' ? {} : { school: this.#school }),
      }
      const answer = await this.api.lessons({ ...query, limit: PART, offset: part * PART }, signal)
      for (const lesson of answer.lessons) lessons.set(lesson.id, lesson)
      total = answer.total
      if (answer.lessons.length < PART) break
    }
    return { lessons: [...lessons.values()], total }
  }
}

/** The lesson `id`, or null; throws as the API does. */
export async function lookUp(api: Pick<Api, 'lessons'>, id: string): Promise<Lesson | null> {
  // The words of an id find it on both planes; titles with the same words come along.
  const { lessons } = await api.lessons({ q: id, limit: 500 })
  return lessons.find((one) => one.id === id) ?? null
}
