/*
 * Addresses of blobs, which the tests' own runtime does not give out.
 */
import { vi } from 'vitest'

export const BLOB_ADDRESS = 'blob:here'

/** How often an address was made, and how often one was let go, so that its blob is. */
export interface BlobAddresses {
  made: number
  revoked: number
}

/** Until `vi.unstubAllGlobals`, every blob has the same address. */
export function fakeBlobAddresses(): BlobAddresses {
  const count: BlobAddresses = { made: 0, revoked: 0 }
  vi.stubGlobal(
    'URL',
    class extends URL {
      static override createObjectURL = (): string => {
        count.made += 1
        return BLOB_ADDRESS
      }
      static override revokeObjectURL = (address: string): void => {
        if (address === BLOB_ADDRESS) count.revoked += 1
      }
    },
  )
  return count
}
