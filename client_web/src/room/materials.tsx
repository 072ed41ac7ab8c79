/*
 * The files that the class opens over the lesson, from one lesson to the next.
 *
 * Lives here: which list stands open. What must not: the lists' lessons (model.ts), the files. When a
 * lesson ends, what the class works on stays; when the next one begins, it gives way to that.
 */
import { useEffect } from 'preact/hooks'
import { LazyOverlay, useOverlay } from '../materials/lazy'
import type { MaterialList } from '../materials/list'

/** A press on the button of a list, which is known by its address. */
export interface Opened {
  list: string
}

/**
 * opened: the press that opened one of `lists`, or null. mayRenew: no lesson is watched, so the page may
 * begin anew for a part of it that does not come.
 */
export function OpenMaterials(props: {
  lists: readonly MaterialList[]
  opened: Opened | null
  mayRenew: boolean
  closeWords: string | undefined
  close: () => void
}) {
  const { opened, close } = props
  const hasAny = props.lists.some((one) => one.materials.length > 0)
  const overlay = useOverlay(hasAny || opened !== null, opened, props.mayRenew)
  const list = props.lists.find((one) => one.place !== null && one.place.list === opened?.list)
  const isGone = opened !== null && list === undefined
  useEffect(() => {
    // Files that were taken away and given anew later do not open by themselves.
    if (isGone) close()
  }, [isGone])
  if (list === undefined || list.place === null) return null
  return (
    <LazyOverlay
      key={list.place.list}
      overlay={overlay}
      materials={list.materials}
      place={list.place}
      first={null}
      closeWords={props.closeWords}
      close={close}
    />
  )
}
