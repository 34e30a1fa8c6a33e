/** Reports whether a text has the size of a Git LFS pointer. */
export const mayBePointer = (bytes: number): boolean => bytes >= 100 && bytes <= 1024

export interface LfsPointer {
  /** SHA-256 of the file, in hexadecimal digits. */
  oid: string
  size: number
}

/** Returns the pointers in the output of `git cat-file --batch`, by the names of their blobs. */
export function pointersIn(printed: Buffer): Map<string, LfsPointer> {
  const pointers = new Map<string, LfsPointer>()
  for (let at = 0; at < printed.length; ) {
    const end = printed.indexOf(10, at)
    const [id = '', , size] = printed.toString('latin1', at, end).split(' ')
    const from = end + 1
    const to = from + Number(size)
    if (!Number.isInteger(to)) throw new Error('The output of git cannot be read.')
    const pointer = readPointer(printed.toString('utf8', from, to))
    if (pointer !== undefined) pointers.set(id, pointer)
    at = to + 1
  }
  return pointers
}

function readPointer(content: string): LfsPointer | undefined {
  if (!content.startsWith('version https://git-lfs.github.com/spec/v1\n')) return undefined
  const [, oid] = /^oid sha256:([0-9a-f]{64})$/m.exec(content) ?? []
  const [, size] = /^size (\d{1,15})$/m.exec(content) ?? []
  return oid === undefined || size === undefined ? undefined : { oid, size: Number(size) }
}
