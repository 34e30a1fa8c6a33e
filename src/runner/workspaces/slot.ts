import { randomInt } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import * as z from 'zod'
import type { SlotView } from '../../contract/tasks/services.ts'
import { isFolder, writeFileAtomic } from '../../platform/files.ts'
import { holderOf } from '../../platform/proc.ts'
import { GitFailure, type GitOptions, git } from '../git/git-program.ts'
import { GitRefused } from '../git/git-words.ts'
import { keepTracked, SlotDamaged, type Tracked, unlockTree } from './clean-tree.ts'
import { copyEdge } from './edge.ts'
import type { RepositoryWorkspace } from './lease.ts'
import { gitConfig, type Mirror, removeLocks } from './mirrors.ts'

/**
 * Stored state of a slot.
 * - `preparing`: files are being put there. That leads to `ready`, a failure to `resetting`.
 * - `ready`: it is handed out to a run, whose end leads to `kept` or `resetting`.
 * - `kept`: its run is over, and a later one may continue in it, which leads to `ready`; another need for its place
 *   leads to `resetting`.
 * - `resetting`: it is made as new. That leads to `free`; a slot that cannot be reset is deleted.
 * - `free`: nobody has it. A new lease leads to `preparing`, age or lack of space to its deletion.
 */
export const SlotState = z.object({
  phase: z.enum(['preparing', 'ready', 'kept', 'resetting', 'free']),
  mirror: z.string(),
  repo: z.string(),
  /** Set for a repository with SHA-256. */
  is_sha256: z.boolean().optional(),
  run_id: z.string().optional(),
  /** Text that identifies its run's request. */
  asked: z.string().optional(),
  base_ref: z.string().optional(),
  base_sha: z.string().optional(),
  start_sha: z.string().optional(),
  branch: z.string().optional(),
  /** External checkout, which is never cleaned. */
  slot_path: z.string().optional(),
  last_used_ms: z.number(),
  bytes: z.number().optional(),
})
export type SlotState = z.infer<typeof SlotState>

/** Describes a checkout to hand out. */
export interface Checkout {
  /** Commit of the files, at which work begins. */
  start: string
  /** Branch that is checked out; absent if there is none. */
  branch?: string
  /** Full names and commits that the user of the slot sees, all in the mirror. */
  refs: ReadonlyMap<string, string>
  /** Address of `origin`, without credentials. */
  url: string
}

export interface SlotOptions {
  /** Folder of the slot, with `work`, `own.git` and `state.json`. */
  path: string
  /** Files of an external checkout. */
  work?: string
  mirror: Mirror
  env: Readonly<Record<string, string>>
  maxBytes: number
}

/**
 * Manages a working folder with two repositories. `own.git` is ours, outside every box: Git describes the files with
 * it. `work/.git` belongs to whoever works there; nothing outside a box ever reads it. Both borrow the mirror's
 * objects.
 */
export class Slot {
  readonly work: string
  readonly ownGit: string
  readonly #options: SlotOptions

  constructor(options: SlotOptions) {
    this.#options = options
    this.work = options.work ?? join(options.path, 'work')
    this.ownGit = join(options.path, 'own.git')
  }

  /**
   * Puts the files of that commit into the folder, with a repository for the user. `at` is the commit that it was reset
   * to.
   */
  async checkOut(checkout: Checkout, at: string | undefined, signal: AbortSignal): Promise<void> {
    this.#makeOwn()
    if (checkout.start !== at) await this.git(['reset', '--hard', '--quiet', checkout.start], signal)
    this.#makeTheirs(checkout)
  }

  /** Creates only our repository, for external files. */
  borrow(): void {
    this.#makeOwn()
  }

  /** Copies the edge from the mirror after a further fetch. `theirs` is set if nobody has worked here yet. */
  takeEdge({ theirs }: { theirs: boolean }): void {
    copyEdge(this.#options.mirror.path, this.ownGit)
    if (theirs) copyEdge(this.#options.mirror.path, join(this.work, '.git'))
  }

  /** Puts another commit's files there; `own.git` has or borrows its objects. */
  async moveTo(checkout: Checkout, signal: AbortSignal): Promise<void> {
    await this.git(['reset', '--hard', '--quiet', checkout.start], signal)
    rmSync(join(this.work, '.git'), { recursive: true, force: true })
    this.#makeTheirs(checkout)
    const packs = join(this.ownGit, 'objects/pack')
    for (const name of readdirSync(packs))
      if (/\.(pack|idx)$/.test(name))
        copyFileSync(join(packs, name), join(this.work, '.git/objects/pack', name))
  }

  /**
   * Takes commits into `own.git` from a pack that a stranger may have made: `tip` with everything that it needs beyond
   * the mirror. Throws if the pack is damaged or incomplete, or if `base` is not an ancestor of the tip.
   */
  async takePack(
    file: string,
    { base, tip }: { base: string; tip: string },
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.git(['index-pack', '--stdin', '--strict', '--fix-thin'], signal, { file })
      await this.git(['rev-list', '--objects', '--quiet', tip, '--not', base], signal)
      await this.git(['merge-base', '--is-ancestor', base, tip], signal)
    } catch (error) {
      if (!(error instanceof GitFailure)) throw error
      // Whatever the text is, it does not come from a server.
      throw new GitRefused(
        'workspace',
        `The commits to start from are not valid: ${error.said || error.end}.`,
        {
          hint: 'Start without them. The work of the earlier try is then not continued.',
          cause: error,
        },
      )
    }
  }

  /**
   * Resets a used slot: no file, folder, mode, link, repository or setting of its user remains. Returns the bytes that
   * it takes. Throws if that is not certain: the slot must not be used again then.
   */
  async reset(base: string, signal: AbortSignal): Promise<number> {
    const { work, ownGit } = this
    if (!isFolder(work) || !existsSync(join(ownGit, 'HEAD'))) throw new SlotDamaged('parts of it are missing')
    const holder = holderOf(this.#options.path)
    if (holder !== undefined) throw new SlotDamaged(`process ${holder} is still using it`)
    await unlockTree(work)
    await rm(join(work, '.git'), { recursive: true, force: true })
    removeLocks(ownGit)
    for (const name of ['objects', 'refs', 'logs'])
      rmSync(join(ownGit, name), { recursive: true, force: true })
    this.#makeOwn()
    await this.git(['reset', '--hard', '--quiet', base], signal)
    await this.git(['clean', '-ffdxq'], signal)
    const bytes = await keepTracked(work, await this.#tracked(signal))
    signal.throwIfAborted()
    return bytes
  }

  /** Runs Git with `own.git`, and the folder as its files. */
  async git(args: readonly string[], signal: AbortSignal, input?: GitOptions['input']): Promise<string> {
    return await git(args, { ...this.#git(signal), input }, text)
  }

  async #tracked(signal: AbortSignal): Promise<Tracked> {
    const output = await git(['ls-files', '-s', '-z'], this.#git(signal), buffer)
    const entries = output.toString('latin1').split('\0').slice(0, -1)
    return new Map(entries.map((entry) => [entry.slice(entry.indexOf('\t') + 1), entry.slice(0, 6)]))
  }

  #git(signal: AbortSignal): GitOptions {
    const { env, maxBytes } = this.#options
    const config = [
      'core.symlinks=true',
      'submodule.recurse=false',
      'diff.ignoreSubmodules=all',
      'advice.detachedHead=false',
    ]
    return { folder: this.ownGit, workTree: this.work, config, env, maxFileBytes: maxBytes, signal }
  }

  #makeOwn(): void {
    const { mirror } = this.#options
    mkdirSync(this.work, { recursive: true, mode: 0o755 })
    makeRepository(this.ownGit, mirror, gitConfig({ bare: false, isSha256: mirror.isSha256 }))
    if (!existsSync(join(this.ownGit, 'HEAD')))
      writeFileSync(join(this.ownGit, 'HEAD'), 'ref: refs/heads/none\n')
  }

  #makeTheirs({ start, branch, refs, url }: Checkout): void {
    const { mirror } = this.#options
    const path = join(this.work, '.git')
    const quoted = url.replace(/["\\]/g, '\\$&')
    const remote = [
      '[remote "origin"]',
      `\turl = "${quoted}"`,
      '\tfetch = +refs/heads/*:refs/remotes/origin/*',
    ]
    const user = ['[user]', '\tname = Errand', '\temail = errand@localhost']
    makeRepository(path, mirror, gitConfig({ bare: false, isSha256: mirror.isSha256 }, [...remote, ...user]))
    const packed = [...refs].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, sha]) => `${sha} ${name}\n`)
    writeFileSync(join(path, 'packed-refs'), `# pack-refs with: sorted \n${packed.join('')}`)
    if (branch !== undefined) {
      const file = join(path, 'refs/heads', branch)
      mkdirSync(join(file, '..'), { recursive: true })
      writeFileSync(file, `${start}\n`)
    }
    writeFileSync(join(path, 'HEAD'), branch === undefined ? `${start}\n` : `ref: refs/heads/${branch}\n`)
    // The user's own copy: what it says about the files in the folder holds for both.
    copyFileSync(join(this.ownGit, 'index'), join(path, 'index'))
  }
}

/** Creates a repository ourselves that borrows the mirror's objects, without running Git. */
function makeRepository(path: string, mirror: Mirror, config: string): void {
  for (const folder of ['objects/info', 'objects/pack', 'refs/heads', 'refs/tags', 'info'])
    mkdirSync(join(path, folder), { recursive: true })
  writeFileSync(join(path, 'config'), config)
  writeFileSync(join(path, 'objects/info/alternates'), `${join(mirror.path, 'objects')}\n`)
  copyEdge(mirror.path, path)
}

export function readSlotState(path: string): SlotState | undefined {
  try {
    return SlotState.parse(JSON.parse(readFileSync(join(path, 'state.json'), 'utf8')))
  } catch {
    return undefined
  }
}

/** Writes the state; it is on the disk when this returns. */
export function writeSlotState(path: string, state: SlotState): void {
  writeFileAtomic(join(path, 'state.json'), JSON.stringify(state), { mode: 0o600 })
}

interface SlotHere {
  /** Folder of the slot; its last part is the slot's id. */
  path: string
  state: SlotState
}

const workOf = ({ path, state }: SlotHere): string => state.slot_path ?? join(path, 'work')

/** Describes the slot for the run that has it; `mirror` is the copy that it borrows from. */
export function workspaceOf(slot: SlotHere, mirror: string): RepositoryWorkspace {
  const { path, state } = slot
  return {
    run_id: state.run_id!,
    slot_id: basename(path),
    work: workOf(slot),
    own_git: join(path, 'own.git'),
    mirror,
    repo: state.repo,
    start_sha: state.start_sha!,
    base_ref: state.base_ref!,
    base_sha: state.base_sha!,
    ...(state.branch !== undefined && { branch: state.branch }),
  }
}

/** Describes a slot for a list. */
export function slotView(slot: SlotHere): SlotView {
  const { path, state } = slot
  return {
    slot_id: basename(path),
    slot_path: workOf(slot),
    repo_url: state.repo,
    state: state.phase === 'kept' ? 'used' : state.phase,
    ...(state.run_id !== undefined && { held_by: state.run_id }),
    ...(state.bytes !== undefined && { bytes: state.bytes }),
    last_used_at: new Date(state.last_used_ms).toISOString(),
  }
}

/** Sorts the longest unused first. */
export const bySlotAge = (a: Pick<SlotHere, 'state'>, b: Pick<SlotHere, 'state'>): number =>
  a.state.last_used_ms - b.state.last_used_ms

export function newSlotId(slots: ReadonlyMap<string, unknown>): string {
  for (;;) {
    const id = `slot_${randomInt(2 ** 40).toString(36)}`
    if (!slots.has(id)) return id
  }
}

/** Creates the folder of another slot, which belongs to the slots from now on. */
export function newSlot(
  dir: string,
  slots: Map<string, SlotHere>,
  of: Pick<SlotState, 'mirror' | 'repo'>,
): SlotHere {
  const id = newSlotId(slots)
  const path = join(dir, 'slots', id)
  mkdirSync(path, { mode: 0o700 })
  const slot: SlotHere = { path, state: { ...of, phase: 'preparing', last_used_ms: Date.now() } }
  slots.set(id, slot)
  return slot
}
