/*
 * The way to the materials of a page that loads their part only when somebody opens them.
 */
import './lazy.css'
import type { ComponentProps } from 'preact'
import { useEffect, useState } from 'preact/hooks'
import { useMessages } from '../i18n'
import { part, withPart } from '../parts'

type Overlay = (typeof import('./overlay'))['MaterialsOverlay']

export function LazyOverlay(props: ComponentProps<Overlay>) {
  const t = useMessages()
  const [overlay, setOverlay] = useState<{ Overlay: Overlay } | null>(null)
  useEffect(
    () =>
      withPart(
        async () =>
          setOverlay({ Overlay: (await part(() => import('./overlay'))).MaterialsOverlay }),
        // A lesson is not begun anew for a list of files.
        false,
      ),
    [],
  )
  if (overlay !== null) return <overlay.Overlay {...props} />
  return (
    <p class="materials-opening" role="status">
      {t.room.materialsOpening}
    </p>
  )
}
