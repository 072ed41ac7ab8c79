/*
 * Copying a text for the person, where the browser lets a page do so.
 */

/** Whether `text` is in the clipboard now; without https there is none, and it may be forbidden. */
export async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    return false
  }
}
