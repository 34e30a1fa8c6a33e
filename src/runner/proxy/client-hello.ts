/**
 * Meaning of a client's first bytes: TLS, with the server name that it requests (SNI; absent if none); too few bytes
 * yet; or something else. See RFC 8446 section 4.1.2, RFC 6066 section 3.
 */
export type Hello = { type: 'tls'; name?: string } | { type: 'more' } | { type: 'other' }

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const HOST_NAME = 0
/** Matches names and, against the standard, addresses. */
const NAME = /^[a-z0-9_.:-]{1,255}$/
/**
 * Limit in bytes. Real ones have 2 kB and one record, rarely two; nobody can make the proxy scan all of this byte by
 * byte.
 */
export const MOST_HELLO_BYTES = 16_384
const MOST_RECORDS = 16

export function clientHello(bytes: Buffer): Hello {
  const message = handshake(bytes)
  if (!Buffer.isBuffer(message)) return message
  try {
    return { type: 'tls', name: serverName(new Reader(message)) }
  } catch {
    return { type: 'other' }
  }
}

/** Returns the complete first message of a handshake, which may span several records. */
function handshake(bytes: Buffer): Buffer | { type: 'more' } | { type: 'other' } {
  let message = Buffer.alloc(0)
  for (let at = 0, records = 0; ; records++) {
    if (records === MOST_RECORDS) return { type: 'other' }
    if (at < bytes.length && bytes[at] !== HANDSHAKE) return { type: 'other' }
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return { type: 'other' }
    if (at + 5 > bytes.length) return { type: 'more' }
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > MOST_HELLO_BYTES) return { type: 'other' }
    message = Buffer.concat([message, bytes.subarray(at + 5, at + 5 + length)])
    if (message.length > 0 && message[0] !== CLIENT_HELLO) return { type: 'other' }
    if (message.length >= 4) {
      const end = 4 + message.readUIntBE(1, 3)
      if (end > MOST_HELLO_BYTES) return { type: 'other' }
      if (message.length >= end) return message.subarray(0, end)
    }
    if (at + 5 + length > bytes.length) return { type: 'more' }
    at += 5 + length
  }
}

function serverName(hello: Reader): string | undefined {
  // Type and length, version, random.
  hello.bytes(4 + 2 + 32)
  // Session, ciphers, compression.
  hello.bytes(hello.number(1))
  hello.bytes(hello.number(2))
  hello.bytes(hello.number(1))
  if (hello.left === 0) return undefined
  const extensions = new Reader(hello.bytes(hello.number(2)))
  let found: string | undefined
  while (extensions.left > 0) {
    const type = extensions.number(2)
    const extension = new Reader(extensions.bytes(extensions.number(2)))
    if (type !== SERVER_NAME) continue
    const names = new Reader(extension.bytes(extension.number(2)))
    while (names.left > 0) {
      const kind = names.number(1)
      const name = names.bytes(names.number(2)).toString('latin1').toLowerCase()
      // With two names, servers differ in which one counts.
      if (kind !== HOST_NAME || found !== undefined || !NAME.test(name)) throw new Error('not one name')
      found = name.replace(/\.$/, '')
    }
  }
  return found
}

/** Reads bytes in sequence; throws past the end. */
class Reader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  number(size: 1 | 2): number {
    return this.bytes(size).readUIntBE(0, size)
  }

  bytes(count: number): Buffer {
    if (count > this.left) throw new Error('too short')
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
}
