/*
 * The projector's screen as a device: full screen, and staying awake.
 *
 * Both are tried without being asked and may be refused by the browser; the lesson does not depend
 * on either.
 */

/** Keep the screen on while the page is seen. Works only where the page came over https. */
export function stayAwake(): void {
  const ask = (): void => {
    if (document.visibilityState !== 'visible') return
    // Refused on battery saving or without https; playing video keeps most screens on anyway.
    navigator.wakeLock?.request('screen').catch(() => undefined)
  }
  document.addEventListener('visibilitychange', ask)
  ask()
}

export const isFull = (): boolean => document.fullscreenElement !== null

export const canBeFull = (): boolean => document.fullscreenEnabled

export function toggleFull(): void {
  const change = isFull()
    ? document.exitFullscreen()
    : document.documentElement.requestFullscreen({ navigationUI: 'hide' })
  // A refusal leaves the page as it was, which is all there is to do.
  change.catch(() => undefined)
}

/** Go full screen now if the browser lets us, else with the first press anywhere. */
export function fullWhenAllowed(): void {
  if (!canBeFull()) return
  const ask = (event?: Event): void => {
    // A press on a button means that button.
    if (event?.target instanceof Element && event.target.closest('button, a, label') !== null)
      return
    removeEventListener('pointerup', ask)
    if (!isFull()) toggleFull()
  }
  addEventListener('pointerup', ask)
  if (matchMedia('(display-mode: fullscreen)').matches) removeEventListener('pointerup', ask)
}
