/*
 * Keeping one lesson on this device: what to keep, how far it is, giving the space back.
 */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Lesson } from '../api'
import { useLanguage } from '../i18n'
import { useObservable } from '../ui/hooks'
import { Icon } from '../ui/icons'
import type { Holding, Keeper, Offer } from './keeper'
import { inMegabytes, type Option } from './plan'
import { pageWorker, type PageWorker } from './page_worker'

export function KeepPanel(props: { keeper: Keeper; lesson: Lesson; worker?: PageWorker }) {
  const { t, lang } = useLanguage()
  const { keeper, lesson, worker = pageWorker } = props
  useObservable(keeper)
  const [offer, setOffer] = useState<Offer | 'asking' | 'beginning' | 'failed' | null>(null)
  const holding = keeper.holding(lesson.id)
  const ask = async (): Promise<void> => {
    setOffer('asking')
    // Where it is refused, people learn so before anything is loaded.
    worker.start()
    try {
      setOffer(await keeper.offer(lesson))
    } catch {
      setOffer('failed')
    }
  }
  const begun = useRef(false)
  const keep = async (option: Option, of: Offer): Promise<void> => {
    if (begun.current) return
    begun.current = true
    setOffer('beginning')
    try {
      await keeper.keep(lesson, option, of)
      setOffer(null)
    } catch {
      setOffer('failed')
    }
    begun.current = false
  }
  return (
    <section class="keeping" aria-labelledby="keeping-title">
      <h2 id="keeping-title" class="hidden">
        {t.offline.keep}
      </h2>
      {holding !== null ? (
        <Progress keeper={keeper} holding={holding} worker={worker} />
      ) : offer === null || offer === 'failed' ? (
        <>
          <button type="button" class="button" onClick={() => void ask()}>
            <Icon name="keep" />
            {t.offline.keep}
          </button>
          <p class="hint" role="status">
            {offer === 'failed' ? t.offline.failed : t.offline.keepText}
          </p>
        </>
      ) : offer === 'asking' || offer === 'beginning' ? (
        <p role="status">{t.offline[offer]}</p>
      ) : (
        <Choose offer={offer} keep={(option) => void keep(option, offer)} lang={lang} />
      )}
    </section>
  )
}

const nameOf = ({ size, leavesOut }: Option): string =>
  leavesOut === true ? `${size}-alone` : size

function Choose(props: { offer: Offer; keep: (option: Option) => void; lang: string }) {
  const { t } = useLanguage()
  const { offer, lang } = props
  const [chosen, choose] = useState<Option | null>(offer.suggested)
  const least = offer.options[offer.options.length - 1]
  if (least === undefined) return <p role="status">{t.offline.nothing}</p>
  const size = (bytes: number): string => inMegabytes(bytes, lang)
  const fits = (option: Option): boolean => offer.free === null || option.bytes <= offer.free
  if (!fits(least))
    return <p role="status">{t.offline.noRoom(size(least.bytes), size(offer.free ?? 0))}</p>
  const now = chosen ?? least
  return (
    <div class="choose">
      <label class="field">
        <span>{t.offline.size}</span>
        <select
          value={nameOf(now)}
          onChange={(event) => {
            const value = event.currentTarget.value
            choose(offer.options.find((one) => nameOf(one) === value) ?? null)
          }}
        >
          {offer.options.map((one) => (
            <option value={nameOf(one)} disabled={!fits(one)}>
              {t.offline[one.leavesOut === true ? 'optionWithout' : 'option'](
                t.offline.sizes[one.size],
                size(one.bytes),
              )}
            </option>
          ))}
        </select>
      </label>
      <button type="button" class="button primary" onClick={() => props.keep(now)}>
        <Icon name="keep" />
        {t.offline.save(size(now.bytes))}
      </button>
      {offer.free !== null && <p class="hint">{t.offline.free(size(offer.free))}</p>}
    </div>
  )
}

function Progress(props: { keeper: Keeper; holding: Holding; worker: PageWorker }) {
  const { t, lang } = useLanguage()
  const { keeper, holding, worker } = props
  useObservable(worker)
  const { state, bytes, total, lesson } = holding
  const here = inMegabytes(bytes, lang)
  const whole = inMegabytes(total, lang)
  const kept = (
    <p class="kept-line" role="status">
      {worker.state === 'active' && <Icon name="tick" />}
      <span>{t.offline.keptWith[worker.state](state === 'kept' ? whole : here)}</span>
      <Remove keeper={keeper} lesson={lesson} />
    </p>
  )
  if (state === 'kept') return kept
  const bar = (
    <label>
      <span>{t.offline.partly[state](here, whole)}</span>
      <progress value={bytes} max={Math.max(1, total)} />
    </label>
  )
  const goOn = (state === 'full' || state === 'failed') && (
    <button type="button" class="button" onClick={() => keeper.resume(lesson.id)}>
      {t.offline.again}
    </button>
  )
  if (holding.isPlayable)
    return (
      <>
        {kept}
        <div class="progress">
          <p class="hint" role="status">
            {t.offline.lacks(holding.missing.map((one) => one.name).join(', '))}{' '}
            {t.offline.lacksWhy[state]}
          </p>
          {state === 'loading' && bar}
          {goOn}
        </div>
      </>
    )
  return (
    <div class="progress">
      {bar}
      {/* Figures that count are not read out; what became of it is. */}
      <p class="hint" role="status">
        {state === 'loading' && t.offline.loadingText}
        {state === 'waiting' && t.offline.waiting}
        {state === 'on-its-way' && t.offline.onItsWay}
        {state === 'full' && t.offline.full}
        {state === 'failed' && t.offline.failed}
      </p>
      {goOn}
      <button type="button" class="button" onClick={() => void keeper.remove(lesson.id)}>
        {t.offline.stop}
      </button>
    </div>
  )
}

/** Deletes after a second press. The focus goes along, to what deletes nothing, and only then. */
export function Remove(props: { keeper: Keeper; lesson: Lesson }) {
  const { t } = useLanguage()
  const { keeper, lesson } = props
  const [asked, ask] = useState(false)
  const wasAsked = useRef(false)
  const next = useRef<HTMLButtonElement>(null)
  useEffect(() => {
    wasAsked.current = false
    ask(false)
  }, [lesson.id])
  useEffect(() => {
    if (asked !== wasAsked.current) next.current?.focus()
    wasAsked.current = asked
  }, [asked])
  if (!asked)
    return (
      <button
        type="button"
        class="button"
        ref={next}
        aria-label={t.offline.removeOf(lesson.title)}
        onClick={() => ask(true)}
      >
        {t.offline.remove}
      </button>
    )
  return (
    <span class="ask" role="group" aria-label={t.offline.removeAsk}>
      <span>{t.offline.removeAsk}</span>
      <button type="button" class="button danger" onClick={() => void keeper.remove(lesson.id)}>
        {t.offline.removeYes}
      </button>
      <button type="button" class="button" ref={next} onClick={() => ask(false)}>
        {t.offline.removeNo}
      </button>
    </span>
  )
}
