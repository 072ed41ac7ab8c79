/*
 * The files of a lesson that is planned: add, see how far they are, take out again.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { size, useLanguage, type Lang } from '../i18n'
import { useMaterialsWords } from '../i18n/materials'
import type { MaterialsWords } from '../i18n/materials_vi'
import { problemWords } from '../i18n/problems'
import { SUFFIXES } from '../materials/kinds'
import type { Material } from '../materials/list'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { Problem, type Unreachable } from '../http'
import {
  UNREADABLE,
  type LessonMaterials,
  type MaterialsDesk,
  type Refusal,
  type Upload,
} from './materials'

/** What a school with a weak link gets beside everything else that it needs. */
const SLOW_BPS = 256_000
const HOURS_FROM_MIN = 90

/** Files can be named by their digest only where the browser computes one. */
const canSend = (): boolean => typeof globalThis.crypto?.subtle?.digest === 'function'

/** Of the lesson that is picked, or (over) of one that was taught. */
export function Materials(props: { desk: MaterialsDesk; lesson: Lesson; over?: boolean }) {
  const { desk, lesson } = props
  const words = useMaterialsWords()
  const { lang } = useLanguage()
  const model = useFollowed(desk, lesson.id, lesson.materials ?? null)
  const [over, setOver] = useState(false)
  const field = useRef<HTMLInputElement>(null)
  const adder = useRef<HTMLButtonElement>(null)
  const title = useRef<HTMLHeadingElement>(null)
  const mayAdd = canSend()
  const { list, uploads, said, lost } = model
  // Of what is gone with its button.
  const leave = (): void => (adder.current ?? title.current)?.focus()
  useEffect(() => {
    // Dropped beside the place, a file would be opened by the browser in place of this page.
    const keep = (event: Event): void => event.preventDefault()
    for (const name of ['dragover', 'drop']) addEventListener(name, keep)
    return () => {
      for (const name of ['dragover', 'drop']) removeEventListener(name, keep)
    }
  }, [])
  const drop = (event: DragEvent): void => {
    event.preventDefault()
    setOver(false)
    if (mayAdd) model.add(event.dataTransfer?.files ?? [])
  }
  return (
    <section
      class={`card given${over ? ' over' : ''}`}
      aria-labelledby="given-title"
      onDragOver={(event) => {
        event.preventDefault()
        setOver(true)
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <h2 id="given-title" ref={title} tabIndex={-1}>
        {words.title}
      </h2>
      <p class="hint">{props.over === true ? words.teach.over : words.teach.text}</p>
      {lost.length > 0 && (
        <div class="refused" role="status">
          <p>{words.teach.unsent(lost.join(', '))}</p>
          <button
            type="button"
            class="button"
            onClick={() => {
              model.forgetLost()
              leave()
            }}
          >
            {words.teach.seen}
          </button>
        </div>
      )}
      {(list?.length ?? 0) + uploads.length > 0 && (
        <ul class="files">
          {list?.map((one) => (
            <Given key={one.digest} model={model} material={one} leave={leave} />
          ))}
          {uploads.map((one) => (
            <Sent key={one.id} model={model} upload={one} leave={leave} />
          ))}
        </ul>
      )}
      {mayAdd ? (
        <p class="row">
          <button type="button" class="button" ref={adder} onClick={() => field.current?.click()}>
            <Icon name="file" />
            {words.teach.add}
          </button>
          <input
            ref={field}
            type="file"
            multiple
            hidden
            accept={SUFFIXES.map((one) => `.${one}`).join()}
            aria-label={words.teach.add}
            onChange={(event) => {
              model.add([...(event.currentTarget.files ?? [])])
              // The same file may be chosen once more.
              event.currentTarget.value = ''
            }}
          />
          <span class="hint drop">{words.teach.drop}</span>
        </p>
      ) : (
        <p class="hint">{words.teach.insecure}</p>
      )}
      {mayAdd && model.bytes === 0 && <p class="hint">{words.teach.kinds}</p>}
      {model.bytes > 0 && (
        <p class="hint">
          {words.teach.total((list?.length ?? 0) + model.unfinished, size(model.bytes, lang))}{' '}
          {slowWords(model.bytes, words)}
        </p>
      )}
      <p class="hint said" role="status">
        {said !== null && words.teach[said.what](said.name)}
      </p>
      <Fault model={model} />
    </section>
  )
}

/** During the lesson: what there is, and nothing to press. */
export function PlainMaterials(props: { desk: MaterialsDesk; lesson: Lesson }) {
  const { lang } = useLanguage()
  const words = useMaterialsWords()
  const model = useFollowed(props.desk, props.lesson.id, props.lesson.materials ?? null)
  const list = model.list ?? []
  if (list.length + model.uploads.length === 0) return null
  return (
    <details class="card given plain">
      <summary>
        <Icon name="file" />
        {words.title} ({list.length})
      </summary>
      <ul class="files">
        {list.map((one) => (
          <li key={one.digest}>
            <Name name={one.name} small={size(one.bytes, lang)} />
          </li>
        ))}
        {model.uploads.map((one) => (
          <li key={one.id}>
            <Name
              name={one.name}
              small={one.refusal === null ? words.teach.resting : toldOf(one.refusal, words, lang)}
            />
          </li>
        ))}
      </ul>
    </details>
  )
}

/** The materials of `lesson`, whose list has `digest`. */
export function useFollowed(
  desk: MaterialsDesk,
  lesson: string,
  digest: string | null,
): LessonMaterials {
  const model = desk.of(lesson)
  useObservable(model)
  useEffect(() => model.follow(digest), [model, digest])
  return model
}

function Name(props: { name: string; small: string }) {
  return (
    <span class="name">
      {props.name}
      <small>{props.small}</small>
    </span>
  )
}

/** One that the lesson has. Taking it out asks first, in its own place. */
function Given(props: {
  model: LessonMaterials
  material: Material
  /** Takes the focus elsewhere when this one is gone. */
  leave: () => void
}) {
  const { lang } = useLanguage()
  const words = useMaterialsWords()
  const { model, material } = props
  const [asked, ask] = useState(false)
  const wasAsked = useRef(false)
  const next = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    if (asked !== wasAsked.current) next.current?.focus()
    wasAsked.current = asked
  }, [asked])
  const { name, bytes, digest } = material
  const remove = async (): Promise<void> => {
    await model.remove(digest)
    if (model.list?.some((one) => one.digest === digest) === true) ask(false)
    else props.leave()
  }
  if (asked)
    return (
      <li>
        <div
          class="whole ask"
          role="group"
          aria-label={words.teach.removeAsk(name)}
          onKeyDown={(event) => {
            if (event.key === 'Escape') ask(false)
          }}
        >
          <span class="name">{words.teach.removeAsk(name)}</span>
          <button
            type="button"
            class="button danger"
            disabled={model.isRemoving(digest)}
            onClick={() => void remove()}
          >
            {words.teach.removeYes}
          </button>
          <button type="button" class="button" ref={next} onClick={() => ask(false)}>
            {words.teach.removeNo}
          </button>
        </div>
      </li>
    )
  return (
    <li>
      <Name name={name} small={size(bytes, lang)} />
      <button
        type="button"
        class="button"
        ref={next}
        aria-label={words.teach.removeOf(name)}
        onClick={() => ask(true)}
      >
        {words.teach.remove}
      </button>
    </li>
  )
}

/** One that is on its way, or was refused. */
function Sent(props: { model: LessonMaterials; upload: Upload; leave: () => void }) {
  const { lang } = useLanguage()
  const words = useMaterialsWords()
  const { model, upload } = props
  const { name, state, refusal, percent } = upload
  const dismiss = (): void => {
    model.dismiss(upload.id)
    props.leave()
  }
  if (refusal !== null) {
    return (
      <li>
        <div class="whole refused" role="alert">
          <span class="name">
            <strong>{name}</strong>: {toldOf(refusal, words, lang)}
          </span>
          {mayHelp(refusal) && (
            <button
              type="button"
              class="button"
              aria-label={words.teach.againOf(name)}
              onClick={() => {
                model.again(upload.id)
                props.leave()
              }}
            >
              {words.teach.again}
            </button>
          )}
          <button
            type="button"
            class="button"
            aria-label={words.teach.seenOf(name)}
            onClick={dismiss}
          >
            {words.teach.seen}
          </button>
        </div>
      </li>
    )
  }
  return (
    <li class="sending">
      <Name name={name} small={stateWords(upload, words)} />
      {state !== 'queued' && state !== 'reading' && (
        <progress value={percent} max={100} aria-label={words.teach.sendingOf(name)} />
      )}
      <button type="button" class="button" aria-label={words.teach.stopOf(name)} onClick={dismiss}>
        {words.teach.stop}
      </button>
    </li>
  )
}

function Fault(props: { model: LessonMaterials }) {
  const { lang } = useLanguage()
  const words = useMaterialsWords()
  const { fault, unremoved } = props.model
  const told = (error: Problem | Unreachable, away: string): string => {
    if (!(error instanceof Problem)) return away
    const { title, fix } = problemWords(error, lang)
    return `${title}. ${fix}`
  }
  return (
    <>
      {fault !== null && (
        <p class="hint warning" role="status">
          {told(fault, words.teach.listAway)}
        </p>
      )}
      {unremoved !== null && (
        <p class="hint warning" role="alert">
          {words.teach.notRemoved(unremoved.name)} {told(unremoved.fault, words.teach.removeAway)}
        </p>
      )}
    </>
  )
}

function stateWords(upload: Upload, words: MaterialsWords): string {
  if (upload.state === 'sending') return words.teach.sending(upload.percent)
  return upload.state === 'refused' ? '' : words.teach[upload.state]
}

/** Trying again helps when people made room, or the link was broken. */
const mayHelp = (refusal: Refusal): boolean =>
  refusal.status === 507 || refusal.code === 'material-digest' || refusal.code === 'materials-full'

function toldOf(refusal: Refusal, words: MaterialsWords, lang: Lang): string {
  const { title, fix } = refusalWords(refusal, words, lang)
  return `${title}. ${fix}`
}

export function refusalWords(
  refusal: Refusal,
  words: MaterialsWords,
  lang: Lang,
): { title: string; fix: string } {
  if (refusal.code === UNREADABLE)
    return { title: words.teach.unreadable, fix: words.teach.unreadableFix }
  const told = problemWords(refusal, lang)
  return refusal.code === 'material-too-large' && refusal.limit !== null
    ? { title: told.title, fix: words.teach.tooLarge(size(refusal.limit, lang)) }
    : told
}

/** How long a school with a slow link needs for `bytes`. */
export function slowWords(bytes: number, words: MaterialsWords): string {
  const minutes = Math.max(1, Math.ceil((8 * bytes) / SLOW_BPS / 60))
  return minutes < HOURS_FROM_MIN
    ? words.teach.slow(minutes)
    : words.teach.slowHours(Math.ceil(minutes / 60))
}
