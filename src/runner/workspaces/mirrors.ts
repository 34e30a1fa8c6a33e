import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import * as z from 'zod'
import { writeFileAtomic } from '../../platform/files.ts'
import { KeyedMutex } from '../../platform/sync.ts'
import { type GitOptions, git } from '../git/git-program.ts'
import { GitRefused, hintOf, refusalOf } from '../git/git-words.ts'
import type { Remote } from '../git/remote.ts'
import { edgeOf, isCutBetween } from './edge.ts'
import type { Trash } from './trash.ts'

/**
 * Identifies the owner of a repository copy. A copy serves nobody else, since the repository's server decides who may
 * read it.
 */
export interface MirrorOwner {
  tenant: string
  /** Name of the credential, not its value, which changes. */
  scope: string
  /** Depth of a copy without all commits. */
  depth?: number
}

const Meta = z.object({ url: z.string(), tenant: z.string(), last_used_ms: z.number(), bytes: z.number() })
type Meta = z.infer<typeof Meta>

export interface Mirror {
  /** Name of its folder. */
  key: string
  /** Path of the bare repository. */
  path: string
  isSha256: boolean
}

export interface MirrorsOptions {
  dir: string
  trash: Trash
  /** Limit in bytes for a fetched file. */
  maxBytes: number
  /** Variables that let a later process of this runner recognize what it has begun. */
  env: Readonly<Record<string, string>>
}

export interface MirrorContext {
  signal: AbortSignal
  /** Called with each line that Git prints. */
  progress?(line: string): void
}

/** Numbers of further commits per branch that are fetched when some are missing; after that, all. */
const DEEPER = [100, 1_000, 10_000]

/**
 * Manages copies of repositories whose objects slots borrow. Because slots borrow, nothing in a copy is deleted except
 * the whole copy. Only one process uses the folder at a time.
 */
export class Mirrors {
  readonly #options: MirrorsOptions
  readonly #pending = new KeyedMutex()
  readonly #checked = new Set<string>()
  /** Refs of each copy since this process looked; nobody else fetches into them. */
  readonly #refs = new Map<string, ReadonlyMap<string, string>>()

  constructor(options: MirrorsOptions) {
    this.#options = options
    mkdirSync(options.dir, { recursive: true, mode: 0o700 })
  }

  key(identity: string, { tenant, scope, depth }: MirrorOwner): string {
    const all = JSON.stringify([tenant, scope, identity, depth ?? 0])
    return createHash('sha256').update(all).digest('hex').slice(0, 40)
  }

  path(key: string): string {
    return join(this.#options.dir, key, 'mirror.git')
  }

  /**
   * Returns the copy with that commit in it, and fetches it if it is missing, once for all callers that wait. Throws
   * `GitRefused`, also if the repository has no such commit.
   */
  async withCommit(remote: Remote, owner: MirrorOwner, sha: string, context: MirrorContext): Promise<Mirror> {
    const key = this.key(remote.identity, owner)
    const mirror = { key, path: this.path(key), isSha256: remote.advertisement.isSha256 }
    return await this.#pending.run(key, async () => {
      context.signal.throwIfAborted()
      this.#prepare(mirror)
      const options = this.#git(mirror.path, context)
      let bytes: number | undefined
      if (!(await this.has(mirror, sha, context.signal))) {
        this.#refs.delete(key)
        await this.#fetch(remote, owner, sha, options).catch((error: unknown) => {
          removePartOf(mirror.path)
          context.signal.throwIfAborted()
          throw refusalOf(error, `${remote.identity} cannot be fetched`)
        })
        bytes = bytesOf(join(mirror.path, 'objects'))
      }
      this.#note(key, { url: remote.identity, tenant: owner.tenant, last_used_ms: Date.now(), bytes })
      return mirror
    })
  }

  /**
   * Ensures that a shallow copy has all commits that two of its commits do not share, and their common ancestor:
   * fetches more commits, and finally all. Calls `makeRoom` before each fetch. Throws `GitRefused`: `history_missing`
   * if the server lacks them.
   */
  async withHistory(
    remote: Remote,
    owner: MirrorOwner,
    commits: readonly [string, string],
    { makeRoom, ...context }: MirrorContext & { makeRoom(): Promise<void> },
  ): Promise<void> {
    const key = this.key(remote.identity, owner)
    const path = this.path(key)
    await this.#pending.run(key, async () => {
      const options = this.#git(path, context)
      const isCut = () => isCutBetween(commits, options)
      if (!(await isCut())) return
      const fetch = fetchOf(remote, options)
      for (const more of [...DEEPER.map((count) => `--deepen=${count}`), '--unshallow']) {
        await makeRoom()
        this.#refuseTooLarge(remote, path)
        this.#refs.delete(key)
        await fetch([more], BRANCHES).catch((error: unknown) => {
          removePartOf(path)
          context.signal.throwIfAborted()
          // It has all of its server's commits since the last time.
          if (edgeOf(path).size === 0) return
          throw refusalOf(error, `More commits of ${remote.identity} cannot be fetched`)
        })
        this.#note(key, {
          ...{ url: remote.identity, tenant: owner.tenant, last_used_ms: Date.now() },
          bytes: bytesOf(join(path, 'objects')),
        })
        if (!(await isCut())) return
      }
      throw new GitRefused(
        'history_missing',
        `${remote.identity} lacks the commits in which ${commits[0]} and ${commits[1]} differ: it is a shallow copy itself.`,
        {
          hint: 'Have the server fetch the whole history (git fetch --unshallow), or work without rebase and join.',
        },
      )
    })
  }

  /**
   * Refuses a repository that alone exceeds all of the pool's space; other excess makes the pool delete something else.
   */
  #refuseTooLarge({ identity }: Remote, path: string): void {
    const { maxBytes } = this.#options
    if (bytesOf(join(path, 'objects')) < maxBytes) return
    throw new GitRefused(
      'disk_full',
      `More commits of ${identity} are needed, but its commits already fill the pool.`,
      { hint: hintOf('disk_full') },
    )
  }

  /** Reports whether the copy has the commit. */
  async has(mirror: Mirror, sha: string, signal: AbortSignal): Promise<boolean> {
    for (const known of this.#refs.get(mirror.key)?.values() ?? []) if (known === sha) return true
    const args = ['cat-file', '-e', `${sha}^{commit}`]
    return await git(args, this.#git(mirror.path, { signal }), text).then(
      () => true,
      () => {
        signal.throwIfAborted()
        return false
      },
    )
  }

  /** Returns the branches and tags that it has, with their commits. */
  async refs({ key, path }: Mirror, signal: AbortSignal): Promise<ReadonlyMap<string, string>> {
    const known = this.#refs.get(key)
    if (known) return known
    const format = '--format=%(objectname) %(*objectname) %(refname)'
    const output = await git(
      ['for-each-ref', format, 'refs/heads', 'refs/tags'],
      this.#git(path, { signal }),
      text,
    )
    const lines = output.split('\n').filter((line) => line !== '')
    const refs = new Map(
      lines.map((line) => {
        const [id, , name] = line.split(' ') as [string, string, string]
        return [name, id]
      }),
    )
    this.#refs.set(key, refs)
    return refs
  }

  /** Returns all copies, with the time of their last use. */
  all(): (Meta & { key: string })[] {
    return readdirSync(this.#options.dir).flatMap((key) => {
      const meta = this.#meta(key)
      return meta ? [{ ...meta, key }] : []
    })
  }

  /** Deletes a copy that no slot may borrow from any more. */
  async remove(key: string): Promise<void> {
    await this.#pending.run(key, async () => {
      this.#options.trash.take(join(this.#options.dir, key))
      this.#checked.delete(key)
      this.#refs.delete(key)
    })
  }

  async #fetch(remote: Remote, { depth }: MirrorOwner, sha: string, options: GitOptions): Promise<void> {
    const few = depth === undefined ? [] : [`--depth=${depth}`]
    const fetch = fetchOf(remote, options)
    await fetch([...few, '--prune'], [...BRANCHES, '+refs/tags/*:refs/tags/*'])
    const there = ['cat-file', '-e', `${sha}^{commit}`]
    const isThere = await git(there, options, text).then(
      () => true,
      () => false,
    )
    if (isThere) return
    options.signal.throwIfAborted()
    // No branch leads to it; some servers provide it nevertheless.
    await fetch(few, [`+${sha}:refs/errand/${sha}`]).catch((error: unknown) => {
      options.signal.throwIfAborted()
      throw refusalOf(error, `${remote.identity} has no commit ${sha}`, 'base_missing')
    })
    await git(there, options, text).catch((cause: unknown) => {
      throw new GitRefused('base_missing', `${sha} is not a commit of ${remote.identity}.`, {
        hint: 'Name a branch, a tag or a full commit id.',
        cause,
      })
    })
  }

  #git(path: string, { signal, progress }: MirrorContext): GitOptions {
    const { maxBytes, env } = this.#options
    return { folder: path, config: [], env, maxFileBytes: maxBytes, signal, progress }
  }

  /** Creates it if it does not exist; removes what a killed Git has left. */
  #prepare({ key, path, isSha256 }: Mirror): void {
    if (this.#checked.has(key) && existsSync(join(path, 'HEAD'))) return
    mkdirSync(join(path, 'objects/info'), { recursive: true, mode: 0o700 })
    mkdirSync(join(path, 'objects/pack'), { recursive: true })
    mkdirSync(join(path, 'refs/heads'), { recursive: true })
    removeLocks(path)
    removePartOf(path)
    writeFileAtomic(join(path, 'config'), gitConfig({ bare: true, isSha256 }), { durable: false })
    writeFileAtomic(join(path, 'HEAD'), 'ref: refs/heads/none\n', { durable: false })
    this.#checked.add(key)
  }

  #meta(key: string): Meta | undefined {
    try {
      return Meta.parse(JSON.parse(readFileSync(join(this.#options.dir, key, 'meta.json'), 'utf8')))
    } catch {
      return undefined
    }
  }

  #note(key: string, meta: Omit<Meta, 'bytes'> & { bytes: number | undefined }): void {
    const bytes = meta.bytes ?? this.#meta(key)?.bytes ?? 0
    const file = join(this.#options.dir, key, 'meta.json')
    writeFileAtomic(file, JSON.stringify({ ...meta, bytes }), { durable: false })
  }
}

const BRANCHES = ['+refs/heads/*:refs/heads/*']

/** Returns a function that fetches with the server's access, into the repository of the options. */
function fetchOf(remote: Remote, options: GitOptions) {
  const access = {
    ...options,
    ...remote.access,
    config: [...options.config, ...remote.access.config],
    env: { ...options.env, ...remote.access.env },
  }
  const always = [
    '--no-tags',
    '--no-recurse-submodules',
    '--no-write-fetch-head',
    '--update-shallow',
    '--progress',
  ]
  return async (more: readonly string[], refs: readonly string[]) =>
    await git(['fetch', ...always, ...more, '--', remote.url, ...refs], access, text)
}

/** Builds the complete configuration of a repository of ours. */
export function gitConfig(
  { bare, isSha256 }: { bare: boolean; isSha256: boolean },
  more: readonly string[] = [],
): string {
  const format = isSha256 ? 1 : 0
  return [
    '[core]',
    `\trepositoryformatversion = ${format}`,
    '\tfilemode = true',
    `\tbare = ${bare}`,
    '[gc]',
    '\tauto = 0',
    ...(isSha256 ? ['[extensions]', '\tobjectFormat = sha256'] : []),
    ...more,
    '',
  ].join('\n')
}

/** Deletes incomplete packs that Git has left; otherwise a full disk would stay full. */
function removePartOf(path: string): void {
  const packs = join(path, 'objects/pack')
  for (const name of readdirSync(packs))
    if (name.startsWith('tmp_')) rmSync(join(packs, name), { force: true })
}

/** Deletes the locks that a killed Git has left in a repository of ours, which nothing else uses now. */
export function removeLocks(path: string): void {
  for (const name of readdirSync(path, { withFileTypes: true })) {
    if (name.name.endsWith('.lock')) rmSync(join(path, name.name), { force: true, recursive: true })
    else if (name.isDirectory() && name.name === 'refs') removeLocksBelow(join(path, name.name))
  }
}

function removeLocksBelow(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const file = join(path, entry.name)
    if (entry.isDirectory()) removeLocksBelow(file)
    else if (entry.name.endsWith('.lock')) rmSync(file, { force: true })
  }
}

function bytesOf(folder: string): number {
  let bytes = 0
  for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true }))
    if (entry.isFile()) bytes += sizeOf(join(entry.parentPath, entry.name))
  return bytes
}

function sizeOf(file: string): number {
  try {
    return lstatSync(file).size
  } catch {
    return 0
  }
}
