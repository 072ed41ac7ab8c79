/*
 * Addresses of blobs, which the tests' own runtime does not give out.
 */
import { vi } from 'vitest'

export const BLOB_ADDRESS = 'blob:here'

/** Until `vi.unstubAllGlobals`, every blob has the same address. */
export function fakeBlobAddresses(): void {
  vi.stubGlobal(
    'URL',
    class extends URL {
      static override createObjectURL = (): string => BLOB_ADDRESS
      static override revokeObjectURL = (): void => undefined
    },
  )
}
