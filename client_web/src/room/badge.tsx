/*
 * A few calm words in the corner: how much of the lesson the link carries now, and why not more.
 */
import type { Rung } from '../events/wire'
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
  const isCalm = !frozen && rung?.rung === 'full'
  const isRead = isCalm && props.now - (rung?.since ?? 0) * 1000 > READ_MS
  const look = isRead ? 'badge read' : 'badge'
  return (
    <p class={look} role="status" data-rung={rung?.rung ?? ''}>
      <span class={`bars ${rung?.rung ?? 'small'}`} aria-hidden="true">
        <i />
        <i />
        <i />
        <i />
      </span>
      <span>{words}</span>
    </p>
  )
}

/** What the badge says; empty when there is nothing to say. */
export function rungWords(
  rung: Rung | null,
  seen: { frozen?: boolean; slides?: boolean },
  t: Messages,
): string {
  const isLow = rung?.rung === 'stills' || rung?.rung === 'voice'
  if (seen.frozen === true && !isLow) return t.room.frozen
  if (rung === null) return ''
  if (rung.rung === 'voice' && seen.slides === true) return t.room.voiceAndSlides
  const words = t.room.rungs[rung.rung]
  // These say why already.
  if (isLow || rung.rung === 'full') return words
  const { reasons } = t.room
  const known = Object.hasOwn(reasons, rung.reason)
  const reason = known ? reasons[rung.reason as keyof typeof reasons] : reasons.link
  return reason === '' ? words : `${words} · ${reason}`
}
