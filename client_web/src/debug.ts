/*
 * What a live test or a technician at the console may read of a page: `window.classroom`.
 *
 * Read-only names of states and the peer connection for its statistics; nothing here steers.
 */
import type { PageName } from './events/wire'

export interface DebugView {
  readonly page: PageName | 'status'
  /** Names of the states of the page's parts, e.g. { session: "live", events: "open" }. */
  readonly state: Readonly<Record<string, string | number | boolean | null>>
  /** The present peer connection, or null; a new one after each new session. */
  readonly peer: RTCPeerConnection | null
}

declare global {
  interface Window {
    classroom?: DebugView
  }
}

export function expose(
  page: DebugView['page'],
  state: () => DebugView['state'],
  peer: () => RTCPeerConnection | null,
): void {
  const view: DebugView = {
    page,
    get state() {
      return state()
    },
    get peer() {
      return peer()
    },
  }
  Object.defineProperty(window, 'classroom', { value: Object.freeze(view), configurable: true })
}
