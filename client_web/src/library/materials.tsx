/*
 * The files that were given along with the lesson that is watched.
 *
 * Asked for only where the lesson says that there are some: from the relay that has its recording, or
 * from this device where they are kept.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { useMaterialsWords } from '../i18n/materials'
import { MaterialList, placeAt, type Place } from '../materials/list'
import { MaterialsList, MaterialsOverlay } from '../materials/overlay'
import { useObservable } from '../ui/hooks'
import { hostOf } from './catalog'
import type { Player } from './player'

/** What plays the recording. */
type Recorded = Pick<Player, 'play'> & { readonly main: Pick<Player['main'], 'paused' | 'pause'> }

/** kept: where they are on this device, or null. */
export function LessonMaterials(props: {
  lesson: Lesson
  token: string
  kept: Place | null
  player: Recorded
}) {
  const { lesson, token, kept, player } = props
  const words = useMaterialsWords()
  const [list] = useState(() => new MaterialList())
  useObservable(list)
  const [picked, pick] = useState<string | null>(null)
  const isHushed = useRef(false)
  // Two voices at once are understood by nobody; the recording goes on where it was.
  const hush = (): void => {
    if (player.main.paused) return
    player.main.pause()
    isHushed.current = true
  }
  const close = (): void => {
    pick(null)
    if (isHushed.current) player.play()
    isHushed.current = false
  }
  const digest = lesson.materials ?? null
  useEffect(() => {
    list.follow(kept ?? placeAt(hostOf(lesson, location.origin), lesson.id, token), digest)
  }, [list, lesson, token, kept, digest])
  useEffect(() => () => list.follow(null, null), [list])
  const { materials, place } = list
  const isEmpty = place === null || materials.length === 0
  useEffect(() => {
    // Files that were taken away and given anew later do not open by themselves.
    if (isEmpty) close()
  }, [isEmpty])
  if (place === null || materials.length === 0) return null
  return (
    <section class="given" aria-labelledby="given-title">
      <h2 id="given-title">{words.title}</h2>
      <MaterialsList materials={materials} pick={(one) => pick(one.digest)} />
      {picked !== null && (
        <MaterialsOverlay
          materials={materials}
          place={place}
          first={picked}
          onPlay={hush}
          close={close}
        />
      )}
    </section>
  )
}
