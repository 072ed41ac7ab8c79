/*
 * The files that the class opens over the lesson, from one lesson to the next.
 *
 * Lives here: which list stands open. What must not: the lists' lessons (model.ts), the files. When a
 * lesson ends, what the class works on stays; when the next one begins, it gives way to that.
 */
import { useEffect } from 'preact/hooks'
import { LazyOverlay } from '../materials/lazy'
import type { MaterialList } from '../materials/list'

/** opened: the address of that one of `lists` which stands open, or null. */
export function OpenMaterials(props: {
  lists: readonly MaterialList[]
  opened: string | null
  closeWords: string | undefined
  close: () => void
}) {
  const { opened, close } = props
  const list = props.lists.find((one) => one.place !== null && one.place.list === opened)
  const isGone = opened !== null && list === undefined
  useEffect(() => {
    // Files that were taken away and given anew later do not open by themselves.
    if (isGone) close()
  }, [isGone])
  if (list === undefined || list.place === null) return null
  return (
    <LazyOverlay
      key={list.place.list}
      materials={list.materials}
      place={list.place}
      first={null}
      closeWords={props.closeWords}
      close={close}
    />
  )
}
