/*
 * One large file on its way onto this device: how far it came, and what its digest is.
 *
 * It is held as pieces that the browser may put on its disk, so that a film needs no memory of its size,
 * and goes on from the byte that it reached. What must not live here: asking for it (source.ts).
 */
import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex } from '@noble/hashes/utils.js'

// Browsers compute a digest of what is in memory as a whole only; there it is faster (../digest.ts).
const begun = () => sha256.create()

/** Pieces of the network are a few kilobytes; so many together become one on the browser's disk. */
const PIECE = 4e6

export class Arriving {
  #pieces: Blob[] = []
  #some: Uint8Array<ArrayBuffer>[] = []
  #size = 0
  #bytes = 0
  #digest = begun()

  /** total: bytes that it is to have. */
  constructor(
    readonly path: string,
    readonly total: number,
  ) {}

  /** Bytes that came. */
  get bytes(): number {
    return this.#bytes
  }

  /** False: there is more of it than there is to be. */
  add(piece: Uint8Array<ArrayBuffer>): boolean {
    this.#digest.update(piece)
    this.#some.push(piece)
    this.#size += piece.byteLength
    this.#bytes += piece.byteLength
    if (this.#size >= PIECE) this.#gather()
    return this.#bytes <= this.total
  }

  /** What came, if `digest` (in hex) says that it is all; else null. Either way it begins anew. */
  take(digest: string | null): Blob | null {
    this.#gather()
    const whole = new Blob(this.#pieces)
    const isRight = bytesToHex(this.#digest.digest()) === digest
    this.forget()
    return isRight ? whole : null
  }

  forget(): void {
    this.#pieces = []
    this.#some = []
    this.#size = 0
    this.#bytes = 0
    this.#digest = begun()
  }

  #gather(): void {
    if (this.#size > 0) this.#pieces.push(new Blob(this.#some))
    this.#some = []
    this.#size = 0
  }
}
