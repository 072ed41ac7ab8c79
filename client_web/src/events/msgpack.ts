/*
 * The part of msgpack that the wire uses: nil, booleans, numbers, text, bytes, lists, maps.
 *
 * Lives here: bytes to values and back, within the limits of classroom/wire/PROTOCOL.md. Extension
 * types are refused, as the wire forbids them. What must not: what any message means.
 */

export const MAX_BYTES = 65_536
export const MAX_DEPTH = 6
export const MAX_CHARS = 4_096
export const MAX_OCTETS = 800

export type Packed =
  null | boolean | number | string | Uint8Array | Packed[] | { [key: string]: Packed }

/** Bytes that are no value of the wire. */
export class NotMsgpack extends Error {}

/** The value in `bytes`, all of them. Throws `NotMsgpack` and nothing else. */
export function unpack(bytes: Uint8Array): Packed {
  const reader = new Reader(bytes)
  const value = reader.value(1)
  if (!reader.finished) throw new NotMsgpack('bytes after the end')
  return value
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Reader {
  readonly #view: DataView
  #at = 0

  constructor(private readonly bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get finished(): boolean {
    return this.#at === this.bytes.byteLength
  }

  /** `depth` is that of a list or map found here: the outermost is 1. */
  value(depth: number): Packed {
    const head = this.#view.getUint8(this.#take(1))
    if (head < 0x80) return head
    if (head >= 0xe0) return head - 0x100
    if (head < 0x90) return this.#map(head & 0x0f, depth)
    if (head < 0xa0) return this.#list(head & 0x0f, depth)
    if (head < 0xc0) return this.#text(head & 0x1f)
    const view = this.#view
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
        return this.#octets(this.#uint(1))
      case 0xc5:
        return this.#octets(this.#uint(2))
      case 0xc6:
        return this.#octets(this.#uint(4))
      case 0xca:
        return view.getFloat32(this.#take(4))
      case 0xcb:
        return view.getFloat64(this.#take(8))
      case 0xcc:
        return this.#uint(1)
      case 0xcd:
        return this.#uint(2)
      case 0xce:
        return this.#uint(4)
      case 0xcf:
        return Number(view.getBigUint64(this.#take(8)))
      case 0xd0:
        return view.getInt8(this.#take(1))
      case 0xd1:
        return view.getInt16(this.#take(2))
      case 0xd2:
        return view.getInt32(this.#take(4))
      case 0xd3:
        return Number(view.getBigInt64(this.#take(8)))
      case 0xd9:
        return this.#text(this.#uint(1))
      case 0xda:
        return this.#text(this.#uint(2))
      case 0xdb:
        return this.#text(this.#uint(4))
      case 0xdc:
        return this.#list(this.#uint(2), depth)
      case 0xdd:
        return this.#list(this.#uint(4), depth)
      case 0xde:
        return this.#map(this.#uint(2), depth)
      case 0xdf:
        return this.#map(this.#uint(4), depth)
      default:
        throw new NotMsgpack(`type ${head.toString(16)} is not used here`)
    }
  }

  #take(count: number): number {
    const at = this.#at
    if (count > this.bytes.byteLength - at) throw new NotMsgpack('cut short')
    this.#at = at + count
    return at
  }

  #uint(size: 1 | 2 | 4): number {
    const at = this.#take(size)
    if (size === 1) return this.#view.getUint8(at)
    return size === 2 ? this.#view.getUint16(at) : this.#view.getUint32(at)
  }

  #octets(length: number): Uint8Array {
    if (length > MAX_OCTETS) throw new NotMsgpack('many bytes')
    const at = this.#take(length)
    return this.bytes.slice(at, at + length)
  }

  #text(length: number): string {
    const at = this.#take(length)
    let text: string
    try {
      text = utf8.decode(this.bytes.subarray(at, at + length))
    } catch {
      throw new NotMsgpack('text that is not UTF-8')
    }
    // Counted in code points, as the servers count them; few texts are near the limit.
    if (text.length > MAX_CHARS && [...text].length > MAX_CHARS) throw new NotMsgpack('long text')
    return text
  }

  #list(count: number, depth: number): Packed[] {
    this.#enter(count, depth)
    const items: Packed[] = []
    for (let at = 0; at < count; at += 1) items.push(this.value(depth + 1))
    return items
  }

  #map(count: number, depth: number): { [key: string]: Packed } {
    this.#enter(count * 2, depth)
    // Without a prototype a key such as "__proto__" is only a key.
    const map = Object.create(null) as { [key: string]: Packed }
    for (let at = 0; at < count; at += 1) {
      const key = this.value(depth + 1)
      if (typeof key !== 'string') throw new NotMsgpack('a key that is not text')
      map[key] = this.value(depth + 1)
    }
    return map
  }

  #enter(items: number, depth: number): void {
    if (depth > MAX_DEPTH) throw new NotMsgpack('nested too deep')
    // Each item takes a byte at least, so a count beyond the rest of the message is a lie.
    if (items > this.bytes.byteLength - this.#at) throw new NotMsgpack('cut short')
  }
}

/** The bytes of `value`, packed as short as msgpack allows. */
export function pack(value: Packed): Uint8Array {
  const out: number[] = []
  write(value, out)
  return Uint8Array.from(out)
}

function write(value: Packed, out: number[]): void {
  if (value === null) out.push(0xc0)
  else if (typeof value === 'boolean') out.push(value ? 0xc3 : 0xc2)
  else if (typeof value === 'number') writeNumber(value, out)
  else if (typeof value === 'string') {
    const bytes = new TextEncoder().encode(value)
    writeHead(out, bytes.length, 0xa0, 32, [0xd9, 0xda, 0xdb])
    for (const byte of bytes) out.push(byte)
  } else if (value instanceof Uint8Array) {
    writeHead(out, value.length, 0, 0, [0xc4, 0xc5, 0xc6])
    for (const byte of value) out.push(byte)
  } else if (Array.isArray(value)) {
    writeHead(out, value.length, 0x90, 16, [null, 0xdc, 0xdd])
    for (const item of value) write(item, out)
  } else {
    const entries = Object.entries(value)
    writeHead(out, entries.length, 0x80, 16, [null, 0xde, 0xdf])
    for (const [key, item] of entries) {
      write(key, out)
      write(item, out)
    }
  }
}

function writeHead(
  out: number[],
  count: number,
  fixed: number,
  fixedBelow: number,
  [one, two, four]: [number | null, number, number],
): void {
  if (count < fixedBelow) out.push(fixed | count)
  else if (one !== null && count <= 0xff) out.push(one, count)
  else if (count <= 0xffff) out.push(two, ...big(count, 2))
  else out.push(four, ...big(count, 4))
}

function writeNumber(value: number, out: number[]): void {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
    const view = new DataView(new ArrayBuffer(8))
    view.setFloat64(0, value)
    out.push(0xcb, ...new Uint8Array(view.buffer))
  } else if (value >= 0) {
    if (value < 0x80) out.push(value)
    else if (value <= 0xff) out.push(0xcc, value)
    else if (value <= 0xffff) out.push(0xcd, ...big(value, 2))
    else if (value <= 0xffffffff) out.push(0xce, ...big(value, 4))
    else out.push(0xcf, ...big(value, 8))
  } else if (value >= -0x20) out.push(value + 0x100)
  else if (value >= -0x80) out.push(0xd0, value + 0x100)
  else if (value >= -0x8000) out.push(0xd1, ...big(value, 2))
  else if (value >= -0x80000000) out.push(0xd2, ...big(value, 4))
  else out.push(0xd3, ...big(value, 8))
}

/** `value` as `size` bytes, most significant first, in two's complement. */
function big(value: number, size: number): number[] {
  const whole = BigInt.asUintN(size * 8, BigInt(value))
  return Array.from({ length: size }, (_, at) =>
    Number((whole >> BigInt((size - 1 - at) * 8)) & 0xffn),
  )
}
