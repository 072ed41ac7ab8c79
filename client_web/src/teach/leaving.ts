/*
 * Asking before a page is closed or left that is still needed. The browser asks in its own words.
 */

/** Ask each time that the page is left while `isNeeded()`. */
export function askBeforeLeaving(isNeeded: () => boolean): void {
  addEventListener('beforeunload', (event) => {
    if (!isNeeded()) return
    event.preventDefault()
    // Chrome and Edge ask for this alone before 119, and 109 is the last for Windows 7 and 8.
    event.returnValue = 'true'
  })
}
