/*
 * The way to the materials of a page that loads their part beside its own work, so that it is there when
 * somebody presses.
 *
 * Lives here: asking for that part, and what is shown until it is there. What must not: when the page
 * may begin anew (its own to say), the overlay itself.
 */
import './lazy.css'
import type { ComponentProps } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useMessages } from '../i18n'
import { part, PartMissing, withPart } from '../parts'

type Overlay = (typeof import('./overlay'))['MaterialsOverlay']
/** null: on its way. */
export type OverlayPart = { Overlay: Overlay } | 'missing' | null

/**
 * The part, from when it `isWanted`. press: another object (not null) at each press, which asks for a
 * part that did not come once more. mayRenew: nobody loses anything if the page begins anew for it.
 */
export function useOverlay(
  isWanted: boolean,
  press: object | null,
  mayRenew: boolean,
): OverlayPart {
  const [found, setFound] = useState<OverlayPart>(null)
  const isAsked = useRef(false)
  const isHere = found !== null && found !== 'missing'
  useEffect(() => {
    if (!isWanted || isHere) return
    // Closing is no wish for it.
    if (isAsked.current && press === null && !mayRenew) return
    isAsked.current = true
    let isLeft = false
    setFound(null)
    const load = async (): Promise<void> => {
      try {
        const Overlay = await part(async () => (await import('./overlay')).MaterialsOverlay)
        setFound({ Overlay })
      } catch (error) {
        if (!isLeft) setFound('missing')
        throw error
      }
    }
    const stop = mayRenew ? withPart(load) : undefined
    if (!mayRenew)
      load().catch((error: unknown) => {
        if (!(error instanceof PartMissing)) throw error
      })
    return () => {
      isLeft = true
      stop?.()
    }
  }, [isWanted, isHere, press, mayRenew])
  return found
}

/** The overlay, or what became of its part, with a way out. */
export function LazyOverlay(props: ComponentProps<Overlay> & { overlay: OverlayPart }) {
  const t = useMessages()
  const { overlay, ...given } = props
  if (overlay !== null && overlay !== 'missing') return <overlay.Overlay {...given} />
  return (
    <div class="materials-opening">
      <p role="status">{overlay === null ? t.room.materialsOpening : t.room.materialsMissing}</p>
      <button type="button" class="button" onClick={given.close}>
        {given.closeWords ?? t.room.materialsShut}
      </button>
    </div>
  )
}
