/*
 * The lessons on this device: what they are, how large, and giving their space back.
 */
import { useLanguage } from '../i18n'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import { Notice } from '../ui/shell'
import type { Keeper } from './keeper'
import { pageWorker, type PageWorker } from './page_worker'
import { Remove } from './panel'
import { inMegabytes } from './plan'

export function KeptShelf(props: { keeper: Keeper; offline: boolean; worker?: PageWorker }) {
  const { t, lang } = useLanguage()
  const { keeper, offline, worker = pageWorker } = props
  useObservable(keeper)
  useObservable(worker)
  const { holdings, space } = keeper
  if (holdings.length === 0 && !offline) return null
  const size = (bytes: number): string => inMegabytes(bytes, lang)
  return (
    <section class="kept-shelf" aria-labelledby="kept-title">
      {offline && <Notice kind="info" title={t.offline.noNetwork} />}
      <h2 id="kept-title">{t.offline.title}</h2>
      <p class="hint">
        {holdings.length === 0
          ? t.offline.none
          : t.offline.summary(holdings.length, size(keeper.bytes))}{' '}
        {space.free !== null && t.offline.free(size(space.free))}{' '}
        {holdings.length > 0 && !space.persisted && t.offline.notPersisted}
      </p>
      <ul class="lessons">
        {holdings.map(({ lesson, state, isPlayable, missing, bytes, total }) => (
          <li class="entry held">
            <span class="thumb" aria-hidden="true">
              <Icon name={isPlayable ? 'play' : 'keep'} />
            </span>
            <span class="about">
              <a href={`#lesson=${lesson.id}`}>
                <strong>{lesson.title}</strong>
              </a>
              <span class="facts">
                {isPlayable || state === 'kept'
                  ? `${t.offline.keptShort[worker.state]}, ${size(state === 'kept' ? total : bytes)}`
                  : t.offline.partly[state](size(bytes), size(total))}
                {isPlayable && missing.length > 0 && `, ${t.offline.lacksShort(missing.length)}`}
              </span>
              <Remove keeper={keeper} lesson={lesson} />
            </span>
          </li>
        ))}
      </ul>
    </section>
  )
}
