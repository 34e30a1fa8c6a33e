/** Tars made by hand, block by block, so that they can hold what no tar program writes. */

export interface RawEntry {
  name: string
  /** The type flag; "0" is a file, "5" a folder. */
  type?: string
  content?: string | Buffer
  mode?: number
  linkname?: string
  /** What the header says, where that is not the length of the content. */
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

/** A PAX header that changes the entry that follows it. */
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
