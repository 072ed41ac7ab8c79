/*
 * The name under which the servers know a file: its SHA-256.
 */

/** In hex. Browsers compute it on pages that came by https, or from this very machine. */
export async function sha256(data: ArrayBuffer): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', data))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
