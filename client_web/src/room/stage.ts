/*
 * What a room's screen says, decided from what the page knows.
 *
 * Pure: facts in, the name of one stage out. Every combination of facts has a stage, so that the
 * projector never shows nothing.
 */
import type { SocketState } from '../events/socket'
import type { LessonState } from '../events/wire'
import type { WhepState } from '../webrtc/whep'

export type Stage =
  | 'no-link'
  | 'expired'
  | 'connecting'
  | 'waiting'
  | 'starting'
  | 'watching'
  | 'late'
  | 'paused'
  | 'reconnecting'
  | 'resuming'
  | 'unreachable'
  | 'ended'
  | 'full'

export interface Facts {
  hasLink: boolean
  /** The server refused the link, by events or by media. */
  refused: boolean
  events: SocketState
  media: WhepState
  /** The last refusal of the media session, or null. */
  refusal: { status: number; code: string } | null
  /** The last attempt at the media session had no answer. */
  unreachable: boolean
  /** Voice or pictures came within the last seconds. */
  flowing: boolean
  /** The path to the relay was lost and stands again; nothing came over it yet. */
  isBack: boolean
  /** The recording is watched, or about to be. */
  isLate: boolean
  /** Media has come before in this lesson, since the page was opened. */
  hasFlowed: boolean
  /** As the server last said; null while unknown. */
  lesson: { state: LessonState; publishing: boolean } | null
}

/** A relay that has no place; one that is only not ready, as after a power cut, says 503 alone. */
const isFull = (refusal: { status: number; code: string }): boolean =>
  refusal.code === 'relay-full' || refusal.status === 429

export function stageOf(facts: Facts): Stage {
  const { lesson, refusal } = facts
  if (!facts.hasLink) return 'no-link'
  if (facts.isLate) return 'late'
  // A relay may send bytes without a lesson in them, to feel its way.
  const over = lesson?.state === 'ended' || lesson?.state === 'published'
  const silent = facts.events === 'open' && lesson?.publishing === false
  if (facts.flowing && (over || !silent)) return 'watching'
  if (over) return 'ended'
  if (refusal?.code === 'lesson-ended') return 'ended'
  if (facts.refused) return 'expired'
  const connected = facts.media === 'live'
  if (!connected) {
    if (facts.unreachable && facts.events !== 'open') return 'unreachable'
    // The relay knows no such lesson yet; one that has ended it would name.
    if (refusal?.status === 404) return 'waiting'
    // A link for every lesson, and none is planned.
    if (facts.media === 'idle' && facts.events === 'open') return 'waiting'
    if (refusal !== null && isFull(refusal)) return 'full'
    if (facts.media !== 'recovering') return 'connecting'
    return lesson !== null && !lesson.publishing && facts.events === 'open'
      ? idleStage(facts)
      : 'reconnecting'
  }
  if (lesson?.publishing === true) {
    if (!facts.hasFlowed) return 'starting'
    return facts.isBack ? 'resuming' : 'reconnecting'
  }
  return idleStage(facts)
}

/** Nobody publishes: the teacher has not begun, or was cut off. */
function idleStage(facts: Facts): Stage {
  return facts.lesson?.state === 'live' || facts.hasFlowed ? 'paused' : 'waiting'
}
