/*
 * A few calm words in the corner: how much of the lesson the link carries now, and why not more.
 */
import type { Rung, RungName } from '../events/wire'
import { useMessages, type Messages } from '../i18n'
import { useNow } from '../ui/hooks'

/** A good picture needs no words once they were read. */
const READ_MS = 8_000

export function Badge(props: {
  rung: Rung | null
  /** Slides are shown as still pictures. */
  slides: boolean
  /** The picture stands still although video is due. */
  frozen: boolean
  /** Milliseconds since 1970 on the server's clock. */
  now: number
}) {
  const t = useMessages()
  useNow()
  const { rung, frozen, slides } = props
  const words = rungWords(rung, { frozen, slides }, t)
  if (words === '') return <p class="badge" role="status" hidden />
  const isCalm = !frozen && rung !== null && isAll(rung)
  const isRead = isCalm && props.now - (rung?.since ?? 0) * 1000 > READ_MS
  const look = isRead ? 'badge read' : 'badge'
  return (
    <p class={look} role="status" data-rung={rung?.rung ?? ''}>
      <span class={`bars ${barsOf(rung)}`} aria-hidden="true">
        <i />
        <i />
        <i />
        <i />
      </span>
      <span>{words}</span>
    </p>
  )
}

/** Nothing is kept back: the teacher sends no more, or the whole picture comes. */
const isAll = (rung: Rung): boolean => rung.rung === 'full' || isUnseen(rung)

const isLow = (rung: Rung): boolean => rung.rung === 'stills' || rung.rung === 'voice'

/** There is no picture because none is sent; the link may be as good as any. */
const isUnseen = (rung: Rung): boolean => isLow(rung) && rung.reason === 'source'

/** The class of the bars, which tell of the link: while it is not known they take no side. */
export function barsOf(rung: Rung | null): RungName {
  if (rung === null || (isLow(rung) && rung.reason === 'starting')) return 'small'
  return isAll(rung) ? 'full' : rung.rung
}

/** What the badge says; empty when there is nothing to say. */
export function rungWords(
  rung: Rung | null,
  seen: { frozen?: boolean; slides?: boolean },
  t: Messages,
): string {
  const low = rung !== null && isLow(rung)
  if (seen.frozen === true && !low) return t.room.frozen
  if (rung === null) return ''
  // Neither says anything of the link.
  if (isUnseen(rung)) return t.room.noPicture
  if (low && rung.reason === 'starting') return t.room.measuring
  if (rung.rung === 'voice' && seen.slides === true) return t.room.voiceAndSlides
  const words = t.room.rungs[rung.rung]
  // These say why already.
  if (low || rung.rung === 'full') return words
  const { reasons } = t.room
  const known = Object.keys(reasons).includes(rung.reason)
  const reason = known ? reasons[rung.reason as keyof typeof reasons] : reasons.link
  return reason === '' ? words : `${words} · ${reason}`
}

/** What is said in the middle while there is nothing to see. */
export function unseenWords(rung: Rung | null, t: Messages): string {
  const isWeak = rung?.rung === 'stills' && rung.reason !== 'starting' && !isUnseen(rung)
  return isWeak ? t.room.stillWaiting : t.room.soundOnly
}
