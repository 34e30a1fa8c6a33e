import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { RunId } from '../../contract/ids.ts'
import type { SlotView } from '../../contract/tasks/services.ts'
import { endTree } from '../../platform/child-tree.ts'
import { unlessAborted } from '../../platform/races.ts'
import { Mutex } from '../../platform/sync.ts'
import { GitFailure } from '../git/git-program.ts'
import { GitRefused, hintOf, refusalOf, withRetries } from '../git/git-words.ts'
import { openRemote, type Remote } from '../git/remote.ts'
import { SlotDamaged } from './clean-tree.ts'
import { asOrigin, baseOf, checkRef, seenRefs } from './found-refs.ts'
import {
  DEFAULT_POOL_LIMITS,
  depthOf,
  type LeaseContext,
  type PoolCredential,
  type PoolLimits,
  type PoolUser,
  progressOf,
  type RepositoryWorkspace,
  requestText,
  type WorkspaceAsk,
  type WorkspacePoolOptions,
} from './lease.ts'
import { type Mirror, Mirrors } from './mirrors.ts'
import {
  bySlotAge,
  type Checkout,
  newSlot,
  newSlotId,
  readSlotState,
  Slot,
  type SlotState,
  slotView,
  workspaceOf,
  writeSlotState,
} from './slot.ts'
import { Trash } from './trash.ts'

interface Held {
  path: string
  state: SlotState
  /** Resolves when it may be used again. */
  busy?: Promise<void>
}

/** Limit per repository for checkouts that stay as their runs left them. */
const MAX_PER_REPOSITORY = 4
/** Variable that marks what a killed runner has left of its programs. */
const MARK = 'ERRAND_POOL_MARK'

/**
 * Manages the checkouts of repositories on this machine. A run has at most one, and gets the same one each time. A
 * checkout that was handed out survives this process; one that was still being made is made again.
 */
export class WorkspacePool {
  readonly #options: WorkspacePoolOptions
  readonly #limits: PoolLimits
  readonly #slots = new Map<string, Held>()
  readonly #leases = new Map<string, Promise<RepositoryWorkspace>>()
  /** Mirrors that are about to be borrowed from, by their user. */
  readonly #borrowing = new Map<string, string>()
  readonly #abort = new AbortController()
  readonly #trash: Trash
  readonly #mirrors: Mirrors
  readonly #env: Record<string, string>
  readonly #orphansEnded: Promise<unknown>
  #room = Promise.withResolvers<void>()
  readonly #warn = (message: string) => this.#options.log?.(message, { level: 'warn' })
  readonly #sweeps = new Mutex()

  constructor(options: WorkspacePoolOptions) {
    const { dir, limits = DEFAULT_POOL_LIMITS } = options
    this.#options = options
    this.#limits = limits
    this.#env = { [MARK]: createHash('sha256').update(dir).digest('hex').slice(0, 32) }
    mkdirSync(join(dir, 'slots'), { recursive: true, mode: 0o700 })
    mkdirSync(join(dir, 'home'), { recursive: true, mode: 0o700 })
    this.#trash = new Trash(join(dir, 'trash'))
    const ofMirrors = { dir: join(dir, 'repos'), trash: this.#trash }
    this.#mirrors = new Mirrors({ ...ofMirrors, maxBytes: limits.bytes, env: this.#env })
    this.#orphansEnded = endTree({ mark: `${MARK}=${this.#env[MARK]}` }, 0)
    this.#loadSlots()
  }

  /**
   * Returns the run's checkout. Asks the repository each time, since a local copy does not prove the credential's right
   * to it. Waits while all slots are in use. Throws `GitRefused` with the reason.
   */
  async lease(
    user: PoolUser,
    ask: WorkspaceAsk,
    credential: PoolCredential,
    context: LeaseContext,
  ): Promise<RepositoryWorkspace> {
    const request = requestText(ask, this.#options.policy)
    const slot = this.#slotOf(user.run_id)
    if (slot && ['ready', 'kept'].includes(slot.state.phase)) {
      if (slot.state.asked === request) {
        this.#write(slot, { ...slot.state, phase: 'ready', last_used_ms: Date.now() })
        return this.#workspace(slot)
      }
      throw new GitRefused('workspace', `The run already has a workspace, of ${slot.state.repo}.`, {
        hint: 'A run has one workspace: use a separate run for each repository.',
      })
    }
    const there = this.#leases.get(user.run_id)
    if (there) return await there
    const lease = this.#make(user, ask, { credential, context, request })
    this.#leases.set(user.run_id, lease)
    try {
      return await lease
    } catch (error) {
      context.signal.throwIfAborted()
      throw refusalOf(error, 'The workspace cannot be created')
    } finally {
      this.#leases.delete(user.run_id)
      this.#borrowing.delete(user.run_id)
    }
  }

  /** Returns the run's checkout, if it has one. */
  of(runId: string): RepositoryWorkspace | undefined {
    const slot = this.#slotOf(runId)
    return slot && ['ready', 'kept'].includes(slot.state.phase) ? this.#workspace(slot) : undefined
  }

  /** Returns the run's slot, to change its files before the user comes. Throws if it has none. */
  slot(runId: string): Slot {
    return this.#opened(this.#heldBy(runId))
  }

  /**
   * Ensures that the run's checkout can borrow that commit of its repository, which has just answered, and all that it
   * and each of `apartFrom` (only before anybody has worked there) do not share. Throws `GitRefused`.
   */
  async withCommit(
    { run_id, tenant }: PoolUser,
    remote: Remote,
    { sha, scope, apartFrom = [] }: { sha: string; scope: string; apartFrom?: readonly string[] },
    { signal, report }: LeaseContext,
  ): Promise<void> {
    const held = this.#slotOf(run_id)
    const depth = held?.state.asked === undefined ? undefined : depthOf(held.state.asked)
    const owner = { tenant, scope, depth }
    // Commits fetched with another credential do not count.
    if (!held || held.state.mirror !== this.#mirrors.key(remote.identity, owner))
      throw new GitRefused('workspace', 'The run has no workspace of this repository with this credential.')
    const context = { signal, progress: progressOf(report), makeRoom: () => this.#makeRoom(signal) }
    await this.#mirrors.withCommit(remote, owner, sha, context)
    for (const other of apartFrom) await this.#mirrors.withHistory(remote, owner, [other, sha], context)
    this.#opened(held).takeEdge({ theirs: apartFrom.length > 0 })
  }

  /** Calls `use` with the copy of another repository that the run needs; the copy stays meanwhile. */
  async withMirror(
    tenant: string,
    remote: Remote,
    { sha, scope }: { sha: string; scope: string },
    { signal, report }: LeaseContext,
    use: (mirror: Mirror) => Promise<void>,
  ): Promise<void> {
    const owner = { tenant, scope }
    const user = newSlotId(this.#borrowing)
    this.#borrowing.set(user, this.#mirrors.key(remote.identity, owner))
    try {
      await use(await this.#mirrors.withCommit(remote, owner, sha, { signal, progress: progressOf(report) }))
    } finally {
      this.#borrowing.delete(user)
    }
  }

  /** Puts other commits there than were handed out: checks out `tip`; work counts from `start`. */
  async moveTo(
    runId: string,
    { tip, start }: { tip: string; start: string },
    signal: AbortSignal,
  ): Promise<RepositoryWorkspace> {
    const held = this.#heldBy(runId)
    const { branch, repo, mirror: key, is_sha256: isSha256 = false } = held.state
    const refs = await this.#mirrors.refs({ key, path: this.#mirrors.path(key), isSha256 }, signal)
    const checkout: Checkout = { start: tip, branch, refs: asOrigin(refs), url: repo }
    await this.#opened(held).moveTo(checkout, signal)
    this.#write(held, { ...held.state, start_sha: start })
    return this.#workspace(held)
  }

  /** Counts work in an external checkout from that commit, which is in the mirror. */
  startAt(runId: string, start_sha: string): RepositoryWorkspace {
    const held = this.#heldBy(runId)
    this.#write(held, { ...held.state, start_sha })
    return this.#workspace(held)
  }

  /** Returns the runs that have one. */
  runs(): string[] {
    return this.holders().filter((holder) => RunId.safeParse(holder).success)
  }

  /** Returns everyone that has one, runs or not. */
  holders(): string[] {
    return [...this.#slots.values()].flatMap(({ state }) => state.run_id ?? [])
  }

  /** Reports whether a new request gets a slot without waiting. */
  hasRoom(): boolean {
    const { slots } = this.#limits
    const isUsable = ({ state, busy }: Held) => state.phase === 'kept' || (state.phase === 'free' && !busy)
    return this.#slots.size < slots || [...this.#slots.values()].some(isUsable)
  }

  /** Ends a run whose checkout a later run may continue. If its place is needed, the oldest is reset for others. */
  keep(runId: string): void {
    const held = this.#slotOf(runId)
    if (held?.state.phase !== 'ready') return
    this.#write(held, { ...held.state, phase: 'kept', last_used_ms: Date.now() })
    const idle = [...this.#slots.values()].filter(
      ({ state }) => state.phase === 'kept' && state.mirror === held.state.mirror,
    )
    for (const oldest of idle.sort(bySlotAge).slice(0, -MAX_PER_REPOSITORY)) this.#free(oldest)
  }

  /** Ends a run: its slot is free when this resolves, and is reset in the background. Idempotent. */
  async release(runId: string): Promise<void> {
    await this.#leases.get(runId)?.catch(() => undefined)
    const held = this.#slotOf(runId)
    if (held) this.#free(held)
  }

  slots(): SlotView[] {
    return [...this.#slots.values()].map(slotView)
  }

  /** Resolves when nothing runs in the background. */
  async settled(): Promise<void> {
    await this.#orphansEnded
    while ([...this.#slots.values()].some(({ busy }) => busy))
      await Promise.all([...this.#slots.values()].map(({ busy }) => busy))
    await this.#sweeps.settled()
    await this.#trash.emptied()
  }

  /** Ends what is in progress; a later process resumes it. Idempotent. */
  async close(): Promise<void> {
    this.#abort.abort()
    this.#room.resolve()
    await Promise.allSettled(this.#leases.values())
    await this.settled()
  }

  async #make(
    { run_id, tenant }: PoolUser,
    ask: WorkspaceAsk,
    { credential, context, request }: { credential: PoolCredential; context: LeaseContext; request: string },
  ): Promise<RepositoryWorkspace> {
    const signal = AbortSignal.any([context.signal, this.#abort.signal])
    const { policy, retries = 3, dir } = this.#options
    const { slotPath } = ask
    await this.#orphansEnded
    for (const ref of [ask.ref, ask.branch]) if (ref !== undefined) checkRef(ref)
    const retryOptions = {
      ...{ retries, signal, report: context.report },
      pause: (ms: number) => sleep(ms, undefined, { signal }),
    }
    const { token, username, scope } = credential
    const toRemote = { policy, folder: join(dir, 'home'), signal }
    const [remote, mirror, base] = await withRetries(async () => {
      const found = await openRemote({ url: ask.repo, token, username }, toRemote)
      const base = baseOf(found, ask.ref)
      const owner = { tenant, scope, depth: ask.depth }
      this.#borrowing.set(run_id, this.#mirrors.key(found.identity, owner))
      await this.#makeRoom(signal)
      const progress = progressOf(context.report)
      const first = await this.#mirrors.withCommit(found, owner, base.sha, { signal, progress })
      const there = ask.branch && found.advertisement.refs.get(`refs/heads/${ask.branch}`)
      if (there) await this.#mirrors.withCommit(found, owner, there, { signal, progress })
      return [found, first, base] as const
    }, retryOptions)
    const start = (ask.branch && remote.advertisement.refs.get(`refs/heads/${ask.branch}`)) || base.sha
    const branch = ask.branch ?? base.branch
    const refs = seenRefs(await this.#mirrors.refs(mirror, signal), remote)
    const held = slotPath
      ? this.#heldAt(mirror, remote, slotPath)
      : await this.#slotFor(mirror, remote, { signal, report: context.report })
    const { base_sha: at } = held.state
    try {
      this.#write(held, {
        ...{ phase: 'preparing', mirror: mirror.key, repo: remote.identity, is_sha256: mirror.isSha256 },
        ...{ run_id, asked: request, base_ref: base.name, base_sha: base.sha, start_sha: start, branch },
        ...{ slot_path: slotPath, last_used_ms: Date.now() },
      })
      if (slotPath) this.#opened(held).borrow()
      const checkout: Checkout = { start, branch, refs, url: remote.identity }
      if (!slotPath) await new Slot(this.#slotOptions(held.path, mirror)).checkOut(checkout, at, signal)
      this.#write(held, { ...held.state, phase: 'ready' })
      return this.#workspace(held)
    } catch (error) {
      this.#free(held)
      throw error
    }
  }

  /** Returns an unused slot, preferably of that mirror; waits if there may be no more slots. */
  async #slotFor(mirror: Mirror, remote: Remote, { signal, report, waits }: LeaseContext): Promise<Held> {
    for (let again = false; ; again = true) {
      signal.throwIfAborted()
      const free = [...this.#slots.values()].filter(({ state, busy }) => state.phase === 'free' && !busy)
      const of = { mirror: mirror.key, repo: remote.identity }
      const used = free.find(({ state }) => state.mirror === of.mirror)
      if (used) return this.#taken(used)
      if (this.#slots.size >= this.#limits.slots) {
        const idle = [...this.#slots.values()].filter(({ state }) => state.phase === 'kept')
        const [oldest] = [...free.sort(bySlotAge), ...idle.sort(bySlotAge)]
        if (oldest) this.#evict(oldest)
      }
      if (this.#slots.size < this.#limits.slots) return newSlot(this.#options.dir, this.#slots, of)
      if (!again) (waits ?? report)(`All ${this.#limits.slots} workspaces here are in use: waiting for one.`)
      await unlessAborted(signal, this.#room.promise)
    }
  }

  /** Opens an external checkout, with a repository of ours beside it, for one run at a time. */
  #heldAt(mirror: Mirror, remote: Remote, slotPath: string): Held {
    const user = [...this.#slots.values()].find(({ state }) => state.slot_path === slotPath)?.state.run_id
    if (user !== undefined)
      throw new GitRefused('workspace', `The slot ${slotPath} is in use by ${user}.`, {
        hint: 'Wait until that run has ended, or use another slot.',
      })
    const held = newSlot(this.#options.dir, this.#slots, { mirror: mirror.key, repo: remote.identity })
    held.state = { ...held.state, slot_path: slotPath }
    return held
  }

  /** Takes a slot; nothing is awaited after the check, so no two runs get it. */
  #taken(held: Held): Held {
    held.state = { ...held.state, phase: 'preparing' }
    return held
  }

  #workspace(held: Held): RepositoryWorkspace {
    return workspaceOf(held, this.#mirrors.path(held.state.mirror))
  }

  #free(held: Held): void {
    if (held.busy) return
    // Only our part of it is deleted.
    if (held.state.slot_path !== undefined) {
      this.#evict(held)
      return
    }
    const { run_id: _, asked: __, branch: ___, ...rest } = held.state
    try {
      this.#write(held, { ...rest, phase: 'resetting', last_used_ms: Date.now() })
    } catch (error) {
      // A full disk: the slot is free anyway, and is not used again.
      held.state = { ...rest, phase: 'resetting' }
      this.#warn(`A workspace could not be marked as free: ${(error as Error).message}.`)
    }
    held.busy = this.#reset(held).finally(() => {
      held.busy = undefined
      this.#room.resolve()
      this.#room = Promise.withResolvers()
    })
    const { busy } = held
    void this.#sweeps.run(async () => {
      await busy
      await this.#sweep().catch((error: Error) => {
        this.#warn(`Old workspaces could not be deleted: ${error.message}.`)
      })
    })
  }

  async #reset(held: Held): Promise<void> {
    try {
      const { base_sha } = held.state
      if (base_sha === undefined) throw new SlotDamaged('it was never complete')
      await this.#orphansEnded
      const bytes = await this.#opened(held).reset(base_sha, this.#abort.signal)
      this.#write(held, { ...held.state, phase: 'free', bytes })
    } catch (error) {
      // The next process resets it.
      if (this.#abort.signal.aborted) return
      this.#evict(held)
      const why = error instanceof GitFailure ? `git says: ${error.said}` : (error as Error).message
      this.#warn(`The workspace ${held.path} is recreated: ${why}.`)
    }
  }

  #evict(held: Held): void {
    for (const [id, each] of this.#slots) if (each === held) this.#slots.delete(id)
    try {
      this.#trash.take(held.path)
    } catch (error) {
      this.#warn(`The workspace ${held.path} stays on the disk: ${(error as Error).message}.`)
    }
  }

  /** Makes room on a disk with too little. Throws `GitRefused` if that does not help. */
  async #makeRoom(signal: AbortSignal): Promise<void> {
    const { minFreeBytes } = this.#limits
    const free = () => {
      const { bavail, bsize } = statfsSync(this.#options.dir)
      return bavail * bsize
    }
    while (free() < minFreeBytes) {
      signal.throwIfAborted()
      if (!(await this.#giveUpOldest())) {
        const least = Math.ceil(minFreeBytes / 1024 ** 2)
        throw new GitRefused('disk_full', `The disk of the workspaces has less than ${least} MiB free.`, {
          hint: hintOf('disk_full'),
        })
      }
      await this.#trash.emptied()
    }
  }

  /** Deletes what is too old, and what is too much, the longest unused first. */
  async #sweep(): Promise<void> {
    if (this.#abort.signal.aborted) return
    const { bytes, ageMs } = this.#limits
    const before = Date.now() - ageMs
    for (const held of [...this.#slots.values()])
      if (!held.busy && held.state.phase === 'free' && held.state.last_used_ms < before) this.#evict(held)
    for (const { key, last_used_ms } of this.#mirrors.all())
      if (last_used_ms < before && !this.#isBorrowed(key)) await this.#mirrors.remove(key)
    while (this.#bytes() > bytes && (await this.#giveUpOldest()));
  }

  #bytes(): number {
    const slots = [...this.#slots.values()].reduce((sum, { state }) => sum + (state.bytes ?? 0), 0)
    return this.#mirrors.all().reduce((sum, { bytes }) => sum + bytes, slots)
  }

  /** Deletes the longest unused slot, or else mirror; returns false if all are in use. */
  async #giveUpOldest(): Promise<boolean> {
    const [slot] = [...this.#slots.values()]
      .filter(({ state, busy }) => state.phase === 'free' && !busy)
      .sort(bySlotAge)
    if (slot) {
      this.#evict(slot)
      return true
    }
    const idle = this.#mirrors.all().filter(({ key }) => !this.#isBorrowed(key))
    const [mirror] = idle.sort((a, b) => a.last_used_ms - b.last_used_ms)
    if (!mirror) return false
    await this.#mirrors.remove(mirror.key)
    return true
  }

  #isBorrowed(key: string): boolean {
    const borrowing = [...this.#borrowing.values()].includes(key)
    return borrowing || [...this.#slots.values()].some(({ state }) => state.mirror === key)
  }

  /** Finds the slots of an earlier process of this runner: keeps those handed out, resets the rest. */
  #loadSlots(): void {
    const root = join(this.#options.dir, 'slots')
    for (const id of readdirSync(root)) {
      const path = join(root, id)
      const state = readSlotState(path)
      if (!state) {
        this.#trash.take(path)
        continue
      }
      const held: Held = { path, state }
      this.#slots.set(id, held)
      if (state.phase === 'preparing' || state.phase === 'resetting') this.#free(held)
    }
    rmSync(join(this.#options.dir, 'home'), { recursive: true, force: true })
    mkdirSync(join(this.#options.dir, 'home'), { mode: 0o700 })
  }

  #heldBy(runId: string): Held {
    const held = this.#slotOf(runId)
    if (!held) throw new GitRefused('workspace', 'The run no longer has a workspace.')
    return held
  }

  #slotOf(runId: string): Held | undefined {
    return [...this.#slots.values()].find(({ state }) => state.run_id === runId)
  }

  #opened({ path, state }: Held): Slot {
    const { mirror: key, is_sha256: isSha256 = false } = state
    const work = state.slot_path
    return new Slot({ ...this.#slotOptions(path, { key, path: this.#mirrors.path(key), isSha256 }), work })
  }

  #slotOptions(path: string, mirror: Mirror) {
    return { path, mirror, env: this.#env, maxBytes: this.#limits.bytes }
  }

  #write(held: Held, state: SlotState): void {
    writeSlotState(held.path, state)
    held.state = state
  }
}
