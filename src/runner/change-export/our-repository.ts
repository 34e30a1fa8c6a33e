import { copyFileSync, createWriteStream, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { GitFailure, type GitOptions, git } from '../git/git-program.ts'

export interface OurRepositoryOptions {
  folder: string
  signal: AbortSignal
  /** Limit in bytes for a file that Git writes. */
  maxFileBytes: number
}

/** Entry of a tree; mode `0` means that the file does not exist. */
export interface TreeEntry {
  path: string
  mode: string
  id: string
}

/** Limit in bytes for a record of Git: a path at most, with a few words before it. */
const MAX_RECORD_BYTES = 256 * 1024

/** Runs Git in a bare repository that no box has: Git reads only its objects, never files of a checkout. */
export class OurRepository {
  readonly folder: string
  readonly #options: GitOptions

  constructor({ folder, signal, maxFileBytes }: OurRepositoryOptions) {
    this.folder = folder
    const config = ['core.quotePath=false', 'core.attributesFile=/dev/null', 'diff.ignoreSubmodules=none']
    this.#options = { folder, signal, maxFileBytes, config, env: { GIT_ALLOW_PROTOCOL: 'none' } }
  }

  /** Makes an empty one that borrows the objects of others. */
  static make(options: OurRepositoryOptions, borrowed: readonly string[], isSha256: boolean): OurRepository {
    const { folder } = options
    for (const name of ['objects/info', 'objects/pack', 'refs'])
      mkdirSync(join(folder, name), { recursive: true })
    const format = isSha256
      ? '[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectformat = sha256\n'
      : '[core]\n\trepositoryformatversion = 0\n\tbare = true\n'
    writeFileSync(join(folder, 'config'), format)
    writeFileSync(join(folder, 'HEAD'), 'ref: refs/heads/none\n')
    const alternates = borrowed.map((each) => `${join(each, 'objects')}\n`)
    writeFileSync(join(folder, 'objects/info/alternates'), alternates.join(''))
    // Commits that shallow ones lack are missing here as well.
    const shallow = borrowed.map((each) => join(each, 'shallow')).find((path) => existsSync(path))
    if (shallow) copyFileSync(shallow, join(folder, 'shallow'))
    return new OurRepository(options)
  }

  async text(args: readonly string[], input?: GitOptions['input']): Promise<string> {
    return (await git(args, { ...this.#options, input }, text)).trimEnd()
  }

  async bytes(args: readonly string[], input?: string): Promise<Buffer> {
    return await git(args, { ...this.#options, input }, buffer)
  }

  /** Writes its output into a new file. */
  async toFile(args: readonly string[], path: string, input?: string): Promise<void> {
    const read = (output: Readable) => pipeline(output, createWriteStream(path, { mode: 0o600 }))
    await git(args, { ...this.#options, input }, read)
  }

  /** Passes on its output as it comes. If `read` throws, Git is ended. */
  async read<T>(args: readonly string[], read: (output: Readable) => Promise<T>, input?: string): Promise<T> {
    return await git(args, { ...this.#options, input }, read)
  }

  /** Passes on its NUL-separated output, one record after another. If `take` throws, Git is ended. */
  async records(args: readonly string[], take: (record: string) => void, input?: string): Promise<void> {
    await this.read(args, (output) => eachPart(output, 0, take), input)
  }

  async lines(args: readonly string[], take: (line: string) => void, input?: string): Promise<void> {
    await this.read(args, (output) => eachPart(output, 10, take), input)
  }

  /** Reports whether Git answers yes. Throws if it cannot tell. */
  async holds(args: readonly string[]): Promise<boolean> {
    try {
      await this.text(args)
      return true
    } catch (error) {
      if (error instanceof GitFailure && error.end === 1) return false
      throw error
    }
  }

  /** Takes the objects of a pack, with Git's strict rules. */
  async takePack(file: string, maxBytes: number): Promise<void> {
    const args = ['index-pack', '--stdin', '--strict', '--fix-thin', `--max-input-size=${maxBytes}`]
    await this.text(args, { file })
  }

  /** Makes a tree from another one with other entries; `index` is a file of ours, which is recreated. */
  async treeWith(tree: string, entries: readonly TreeEntry[], index: string): Promise<string> {
    const options = { ...this.#options, env: { ...this.#options.env, GIT_INDEX_FILE: index } }
    const lines = entries.map(({ path, mode, id }) => `${mode} ${id}\t${path}\0`)
    await git(['read-tree', tree], options, text)
    await git(['update-index', '-z', '--index-info'], { ...options, input: lines.join('') }, text)
    return (await git(['write-tree'], options, text)).trimEnd()
  }

  /** Packs the objects from one commit to another; the receiver must have what it builds on. */
  async packTo(path: string, start: string, tip: string): Promise<void> {
    const args = ['pack-objects', '--revs', '--thin', '--stdout', '-q', '--delta-base-offset']
    await this.toFile(args, path, `${tip}\n^${start}\n`)
  }
}

async function eachPart(output: Readable, end: number, take: (part: string) => void): Promise<void> {
  let rest: Buffer = Buffer.alloc(0)
  for await (const chunk of output as AsyncIterable<Buffer>) {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    let from = 0
    for (let at = all.indexOf(end); at !== -1; at = all.indexOf(end, from)) {
      take(all.toString('utf8', from, at))
      from = at + 1
    }
    rest = all.subarray(from)
    if (rest.length > MAX_RECORD_BYTES)
      throw new RangeError(`Git printed a record of more than ${MAX_RECORD_BYTES} bytes.`)
  }
  if (rest.length > 0) take(rest.toString())
}
