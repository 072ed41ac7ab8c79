/*
 * Whether this browser keeps lessons in the page; where it does not, people get the file (file.tsx).
 */
import { mediaSource } from '../library/plays'

/**
 * Browsers insist on https, or on this very machine. Where pages cannot hand media to the player piece
 * by piece (iPhones before iOS 17.1), the browser fetches it by itself and asks no service worker.
 */
export function canKeep(): boolean {
  return (
    globalThis.isSecureContext === true &&
    typeof caches !== 'undefined' &&
    typeof navigator !== 'undefined' &&
    'serviceWorker' in navigator &&
    typeof crypto?.subtle?.digest === 'function' &&
    mediaSource() !== null
  )
}
