import { crc32, deflateRawSync } from 'node:zlib'

/** Tars and zips made by hand, so that they can contain what no program writes. */

export interface RawEntry {
  name: string
  /** The type flag: "0" is a file, "5" a folder. */
  type?: string
  content?: string | Buffer
  mode?: number
  linkname?: string
  /** The size in the header, if it differs from the length of the content. */
  size?: number
}

export function rawTar(entries: readonly RawEntry[], { end = true } = {}): Buffer {
  const blocks = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? '')
    const padding = Buffer.alloc((512 - (content.length % 512)) % 512)
    return [header(entry, content.length), content, padding]
  })
  return Buffer.concat([...blocks, ...(end ? [Buffer.alloc(1024)] : [])])
}

/** Returns a PAX header, which changes the entry after it. */
export function pax(values: Record<string, string>): RawEntry {
  const content = Object.entries(values)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`
      let length = Buffer.byteLength(rest)
      length = Buffer.byteLength(rest) + String(length + String(length).length).length
      return `${length}${rest}`
    })
    .join('')
  return { name: 'PaxHeader', type: 'x', content }
}

function header({ name, type = '0', mode = 0o644, linkname = '', size }: RawEntry, length: number): Buffer {
  const block = Buffer.alloc(512)
  block.write(name, 0, 100)
  block.write(octal(mode, 7), 100)
  block.write(octal(0, 7), 108)
  block.write(octal(0, 7), 116)
  block.write(octal(size ?? length, 11), 124)
  block.write(octal(0, 11), 136)
  block.write('        ', 148)
  block.write(type, 156)
  block.write(linkname, 157, 100)
  block.write('ustar\x0000', 257, 'latin1')
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${octal(sum, 6)} `, 148)
  return block
}

const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`

export interface RawZipEntry {
  name: string | Buffer
  content?: string | Buffer
  /** A Unix mode with its file type, such as 0o120777; without it, the entry comes from another system. */
  mode?: number
  /** The compression method. 8 is deflate, which compresses the content unless `stored` is given. */
  method?: number
  stored?: Buffer
  flags?: number
  /** The size in the list, if it differs from the real one. */
  size?: number
  crc?: number
  /** The number of the entry whose header and bytes it shares. */
  sharedWith?: number
  /** Stores its sizes and the position of its header in an extra field of 64 bits. */
  zip64?: boolean
}

export function rawZip(entries: readonly RawZipEntry[], { comment = '' } = {}): Buffer {
  const locals: Buffer[] = []
  const offsets: number[] = []
  const list: Buffer[] = []
  let at = 0
  for (const [index, entry] of entries.entries()) {
    const { mode, method = 8, flags = 0x800, zip64 = false, sharedWith } = entry
    const name = Buffer.from(entry.name)
    const content = Buffer.from(entry.content ?? '')
    const stored = entry.stored ?? (method === 8 ? deflateRawSync(content) : content)
    const crc = entry.crc ?? crc32(content)
    const size = entry.size ?? content.length
    const offset = sharedWith === undefined ? at : offsets[sharedWith]!
    offsets[index] = offset
    const common = numbers([2, flags], [2, method], [4, 0], [4, crc])
    const most = 0xffffffff
    if (sharedWith === undefined) {
      const sizes = numbers([4, stored.length], [4, size], [2, name.length], [2, 0])
      const local = Buffer.concat([numbers([4, 0x04034b50], [2, 20]), common, sizes, name, stored])
      locals.push(local)
      at += local.length
    }
    const extra = zip64
      ? Buffer.concat([numbers([2, 1], [2, 24]), ...[size, stored.length, offset].map(long)])
      : Buffer.alloc(0)
    const sizes = zip64 ? numbers([4, most], [4, most]) : numbers([4, stored.length], [4, size])
    list.push(
      Buffer.concat([
        numbers([4, 0x02014b50], [1, 45], [1, mode === undefined ? 0 : 3], [2, 20]),
        common,
        sizes,
        numbers([2, name.length], [2, extra.length], [2, 0], [2, 0], [2, 0]),
        numbers([4, (mode ?? 0) * 0x10000], [4, zip64 ? most : offset]),
        name,
        extra,
      ]),
    )
  }
  const central = Buffer.concat(list)
  const end = numbers([4, 0x06054b50], [2, 0], [2, 0], [2, entries.length], [2, entries.length])
  const where = numbers([4, central.length], [4, at], [2, comment.length])
  return Buffer.concat([...locals, central, end, where, Buffer.from(comment)])
}

/** Returns the values as little-endian numbers of so many bytes each. */
function numbers(...parts: readonly [bytes: number, value: number][]): Buffer {
  return Buffer.concat(
    parts.map(([bytes, value]) => {
      const buffer = Buffer.alloc(bytes)
      buffer.writeUIntLE(value, 0, bytes)
      return buffer
    }),
  )
}

function long(value: number): Buffer {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64LE(BigInt(value))
  return buffer
}
