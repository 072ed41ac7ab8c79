/*
 * After the lesson: where it is now, and the files given along with it that are not there yet.
 */
import { useEffect, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { useMessages } from '../i18n'
import { useMaterialsWords } from '../i18n/materials'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { Notice } from '../ui/shell'
import { Materials, useFollowed } from './given'
import type { MaterialsDesk } from './materials'
import { Fault } from './prepare'
import type { Studio } from './studio'

export function Ended(props: { studio: Studio }) {
  const t = useMessages()
  const { studio } = props
  return (
    <div class="ended">
      <Fault studio={studio} />
      <Notice kind="info" title={studio.lesson?.title ?? ''} icon="tick">
        <p>{studio.endedElsewhere ? t.teach.endedElsewhere : t.teach.endedText}</p>
      </Notice>
      {studio.lesson !== null && <LeftOver desk={studio.materials} lesson={studio.lesson} />}
      <p class="row">
        <a class="button primary" href="/library">
          <Icon name="play" />
          {t.teach.toLibrary}
        </a>
        <button type="button" class="button" onClick={() => studio.again()}>
          {t.teach.another}
        </button>
      </p>
    </div>
  )
}

/** What is still being sent, was refused, or was lost with a page; nothing where all is there. */
function LeftOver(props: { desk: MaterialsDesk; lesson: Lesson }) {
  const words = useMaterialsWords()
  const { desk, lesson } = props
  useObservable(desk)
  const model = useFollowed(desk, lesson.id, lesson.materials ?? null)
  const isAny = model.uploads.length + model.lost.length > 0
  // What was shown once stays: it says what became of the last file.
  const [stays, stay] = useState(false)
  useEffect(() => {
    if (isAny) stay(true)
  }, [isAny])
  const others = desk.unfinished - model.unfinished
  return (
    <>
      {(isAny || stays) && <Materials desk={desk} lesson={lesson} over />}
      <p class="hint" role="status">
        {others > 0 && words.teach.others(others)}
      </p>
    </>
  )
}
