/*
 * A lesson's materials over the page: the list, and the file that was picked.
 *
 * The browser's own modal dialog keeps the focus inside, closes at Escape and gives the focus back.
 * The page beneath goes on as it was: voices are heard, pictures move. Rooms load it by `lazy`.
 */
import './overlay.css'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { size, useLanguage } from '../i18n'
import { useMaterialsWords } from '../i18n/materials'
import { Icon, type IconName } from '../ui/icons'
import { kindOf, type Kind } from './kinds'
import type { Material, Place } from './list'
import { Viewer } from './viewer'

const ICONS: Readonly<Record<Kind, IconName>> = {
  picture: 'picture',
  pdf: 'file',
  film: 'play',
  sound: 'sound',
  text: 'file',
  document: 'file',
}

export function MaterialsOverlay(props: {
  materials: readonly Material[]
  place: Place
  /** Digest of the file to begin with, or null for the list. */
  first: string | null
  /** Words on the button that closes. */
  closeWords?: string | undefined
  /** Film or sound of a file begins to play. */
  onPlay?: () => void
  close: () => void
}) {
  const { materials, place, close } = props
  const words = useMaterialsWords()
  const dialog = useRef<HTMLDialogElement>(null)
  const start = useRef<HTMLButtonElement>(null)
  const [picked, pick] = useState<Material | null>(
    () => materials.find((one) => one.digest === props.first) ?? null,
  )
  const isShown = useRef(true)
  useLayoutEffect(() => {
    const element = dialog.current
    element?.showModal()
    return () => {
      // Closed before it is taken out of the page, it gives the focus back. Browsers tell of that later,
      // when another one may stand in its place.
      isShown.current = false
      element?.close()
    }
  }, [])
  const [last, setLast] = useState<string | null>(null)
  useEffect(() => {
    // What was pressed is not there any more; the focus goes on to what takes its place.
    start.current?.focus()
  }, [picked])
  const show = (one: Material | null): void => {
    if (picked !== null) setLast(picked.digest)
    pick(one)
  }
  return (
    <dialog
      ref={dialog}
      class="materials"
      aria-labelledby="materials-title"
      onClose={() => isShown.current && close()}
    >
      <header>
        <h2 id="materials-title">{picked?.name ?? words.title}</h2>
        <div class="materials-ways">
          {picked !== null && materials.length > 1 && (
            <button type="button" class="button" ref={start} onClick={() => show(null)}>
              <Icon name="back" />
              {words.back}
            </button>
          )}
          <button
            type="button"
            class="button materials-close"
            {...(picked !== null && materials.length <= 1 ? { ref: start } : {})}
            onClick={() => dialog.current?.close()}
          >
            <Icon name="close" />
            {props.closeWords ?? words.close}
          </button>
        </div>
      </header>
      {picked === null ? (
        <MaterialsList
          materials={materials}
          pick={show}
          start={start}
          last={last ?? materials[0]?.digest ?? null}
        />
      ) : (
        <Viewer key={picked.digest} material={picked} place={place} onPlay={props.onPlay} />
      )}
    </dialog>
  )
}

/** The files as large buttons. last: digest of the one that gets `start`. */
export function MaterialsList(props: {
  materials: readonly Material[]
  pick: (one: Material) => void
  start?: { current: HTMLButtonElement | null }
  last?: string | null
}) {
  const { lang } = useLanguage()
  const words = useMaterialsWords()
  if (props.materials.length === 0) return <p role="status">{words.none}</p>
  return (
    <ul class="materials-list">
      {props.materials.map((one) => (
        <li key={one.digest}>
          <button
            type="button"
            class="button"
            {...(props.start !== undefined && one.digest === props.last
              ? { ref: props.start }
              : {})}
            onClick={() => props.pick(one)}
          >
            <Icon name={ICONS[kindOf(one.name)]} />
            <span>
              <strong>{one.name}</strong>
              <small>
                {words.kinds[kindOf(one.name)]} · {size(one.bytes, lang)}
              </small>
            </span>
          </button>
        </li>
      ))}
    </ul>
  )
}
