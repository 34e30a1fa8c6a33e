import { randomUUID } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { endTree } from '../../platform/child-tree.ts'
import type { ArtifactKeeper } from '../artifacts/artifact-keeper.ts'
import { LimitKeeper } from '../limits/limit-keeper.ts'
import type { Scope } from '../limits/scope.ts'
import type { NamedSecret } from '../masking/masker.ts'
import type { Action, HeldAttempt, InlineContext } from '../ports.ts'
import { type Box, needsBox } from '../sandbox/box.ts'
import type { Boxes } from '../sandbox/boxes.ts'
import type { AttemptSecrets } from '../secrets/attempt-secrets.ts'
import { MachineSecrets } from '../secrets/machine-secrets.ts'
import { Attempt, type AttemptOptions } from './attempt.ts'
import { dropSecrets, type Left, openFiles } from './attempt-files.ts'
import {
  type AttemptFacts,
  type AttemptFolder,
  AttemptFolders,
  outlivesBoot,
  unwritable,
} from './attempt-folder.ts'
import type { DriverKind } from './driver.ts'
import { inlineDriver } from './drivers/inline.ts'
import { AttemptJournal } from './journal.ts'
import { markOf } from './launch.ts'
import { MemoryOutput } from './memory-output.ts'
import type { RunnerStop } from './runner-stop.ts'
import { Poller } from './timers.ts'
import type { Workspaces } from './workspaces.ts'

/** Describes an attempt that is to be started. */
export interface Order<A extends Action = Action> {
  spec: AttemptSpec
  epoch: number
  action: A
  secrets: AttemptSecrets
}

export interface AttemptTableOptions {
  /** Folder that holds the attempts' folders; only one process may use it at a time. */
  dir: string
  workspaces: Workspaces
  /** Folder that a relative `output_path` starts from (default: this process's folder). */
  outputDir?: string
  /** Time between SIGTERM and SIGKILL after a timeout (default 5 s). */
  timeoutGraceMs?: number
  /** Knows when this runner is told to stop. */
  stop?: RunnerStop
  /** Holds attempts to their limits; if absent, a watchdog does. */
  limits?: LimitKeeper
  /** Makes the boxes that attempts run in; absent if there are none. */
  boxes?: Boxes
  /** Stores the files that steps request; if absent, they are not stored. */
  artifacts?: ArtifactKeeper
  /** Values, by name, that no attempt may put out, in addition to its own secrets. */
  ownSecrets?: Readonly<Record<string, string>>
  /** Folder of the secrets that are mounted into this machine (default /run/secrets). */
  mountedSecretsDir?: string
}

/** Holds what all attempts of this machine share, whatever their kind. */
export class AttemptTable {
  readonly held = new HeldAttempts()
  readonly folders: AttemptFolders
  readonly workspaces: Workspaces
  readonly outputDir: string
  readonly timeoutGraceMs: number
  readonly limits: LimitKeeper
  readonly boxes: Boxes | undefined
  readonly secrets: MachineSecrets
  readonly #artifacts: ArtifactKeeper | undefined
  readonly #stop: RunnerStop | undefined
  readonly #poller = new Poller()

  constructor(options: AttemptTableOptions) {
    const { dir, workspaces, outputDir, timeoutGraceMs, limits, boxes, ownSecrets, mountedSecretsDir } =
      options
    this.workspaces = workspaces
    this.outputDir = resolve(outputDir ?? '.')
    this.timeoutGraceMs = timeoutGraceMs ?? 5_000
    this.limits =
      limits ?? new LimitKeeper({ choice: { heldBy: 'watchdog', why: 'they were not requested' } })
    this.boxes = boxes
    this.#artifacts = options.artifacts
    this.#stop = options.stop
    this.secrets = new MachineSecrets(ownSecrets, mountedSecretsDir)
    this.folders = new AttemptFolders(dir)
  }

  /** Creates the folder of a new attempt, and holds it. Throws `disk_full` if the folder cannot be written. */
  create({ spec, epoch, action, secrets }: Order, kind: DriverKind): Attempt {
    const folder = this.folders.of(spec)
    const key = randomUUID()
    const box = this.#boxFacts(spec, kind)
    const facts: AttemptFacts = {
      ...{ spec, epoch, key },
      storage: this.folders.storageId,
      kind: kind.kind,
      export_vars: kind.exportsVars?.(action, secrets.filledSpec) === true,
      masked: secrets.masker && true,
      cage: this.limits.facts(spec.limits, key, box?.isolation === 'container'),
      box,
    }
    try {
      folder.create(facts, secrets)
    } catch (cause) {
      throw unwritable(folder, cause)
    }
    try {
      return this.#keep({ folder, facts, secrets }, kind, () => action)
    } catch (cause) {
      void folder.remove().catch(() => undefined)
      throw unwritable(folder, cause)
    }
  }

  /** Holds a new attempt that ends with this process, so that none of it needs to be on the disk. */
  createHere(order: Order<Extract<Action, { kind: 'inline' }>>): Attempt {
    const { spec, epoch, secrets } = order
    const folder = this.folders.of(spec)
    try {
      secrets.writeFiles()
    } catch (cause) {
      secrets.discard()
      throw unwritable(folder, cause)
    }
    const { masker, warnings } = secrets
    const output = new MemoryOutput({ spec, masker, folder: folder.path })
    return this.#hold({
      ...{ spec, epoch, output, masker, warnings },
      journal: new AttemptJournal(),
      isolation: this.boxes?.made,
      path: folder.path,
      driver: inlineDriver(order, output, this.workspaces.path(spec.run_id), this.#apart(spec)),
      dropSecrets: () => secrets.discard(),
      keepFiles: this.#keepFiles(spec, folder),
      fetchNeededFiles: this.#fetchNeededFiles(spec),
      remove: async () => {
        await output.remove()
        if (spec.artifacts) await folder.remove()
      },
    })
  }

  /** Holds an attempt of an earlier process of this runner; returns undefined if it must not continue. */
  async restore(left: Left, kind: DriverKind, action: () => Action): Promise<Attempt | undefined> {
    const attempt = this.#keep(left, kind, action)
    if (attempt.ended) return undefined
    if (left.facts.masked && !left.secrets) {
      // Its output cannot be masked any more, so none of it may leave this machine.
      await attempt.abandon()
      return undefined
    }
    if (!this.#lostPower(left.facts)) return attempt
    // Any part of the latest writes may be missing: the claim of a command that ran, or half of its output beside a
    // complete exit code.
    await attempt.finish({
      type: 'lost',
      why: 'Its machine restarted before its end was reported. Its outcome is unknown.',
    })
    return undefined
  }

  /** Ends what an earlier process of this runner left of an attempt that cannot be held. */
  async endLeft(folder: AttemptFolder, { key, box }: AttemptFacts): Promise<void> {
    await endTree({ mark: markOf(key) }, 0)
    if (!box || !this.boxes) return
    const left = this.boxes.box(box, folder.path, key)
    await left.end()
    await left.remove()
  }

  #lostPower(facts: AttemptFacts): boolean {
    const { storage } = facts
    return storage !== undefined && storage !== this.folders.storageId && !outlivesBoot(facts)
  }

  /** Closes the table; call it after every held attempt is closed. */
  close(): void {
    this.#poller.close()
    if (this.held.all().every((attempt) => attempt.ended)) this.limits.close()
  }

  #keep(left: Left, kind: DriverKind, action: () => Action): Attempt {
    const { folder, facts, secrets } = left
    const box = this.#box(facts, folder.path)
    const files = openFiles(left, {
      cage: this.#scopeOf(facts, box),
      box,
      repair: () => {
        if (this.#lostPower(facts)) folder.cutZeros()
        kind.repair?.(folder)
      },
    })
    const { spec, epoch, key } = facts
    const { journal, output, cage } = files
    box?.listen?.((message) => journal.add({ type: 'phase', phase: 'isolation', message }))
    return this.#hold({
      ...{ spec, epoch, key, journal, output },
      isolation: facts.box
        ? { isolation: facts.box.isolation, network: facts.box.network }
        : this.boxes?.made,
      within: facts.box && this.workspaces.path(spec.run_id),
      unboxed: kind.kind === 'agent' && !facts.box ? this.boxes?.without(spec) : undefined,
      cage: kind.limitsItself ? undefined : cage,
      masker: secrets?.masker,
      warnings: secrets?.warnings ?? [],
      poller: this.#poller,
      fetchNeededFiles: this.#fetchNeededFiles(spec),
      // What a task stores is shown with its pull request; a step of a workflow may pass on a file that it made from a
      // secret.
      keepFiles: this.#keepFiles(spec, folder, kind.kind === 'platform' ? secrets?.known : undefined),
      path: folder.path,
      driver: (attempt) => kind.driver(attempt, files, action),
      dropSecrets: () => {
        dropSecrets(files)
        if (facts.masked) kind.dropSecrets?.(files)
      },
      endpoint: files.box,
      remove: async () => {
        await files.box?.remove()
        await folder.remove()
      },
    })
  }

  #hold(options: Omit<AttemptOptions, 'timeoutGraceMs' | 'outputDir' | 'onReleased' | 'stop'>): Attempt {
    const { timeoutGraceMs, outputDir } = this
    const onReleased = () => this.held.forget(attempt)
    const attempt: Attempt = new Attempt({
      ...options,
      ...{ timeoutGraceMs, outputDir, onReleased, stop: this.#stop },
    })
    this.held.add(attempt)
    return attempt
  }

  #fetchNeededFiles(spec: AttemptSpec): AttemptOptions['fetchNeededFiles'] {
    const keeper = this.#artifacts
    if (keeper === undefined || !spec.needs_files?.length) return undefined
    return async (asking) => await keeper.fetchNeededFiles(spec, this.workspaces.create(spec.run_id), asking)
  }

  #keepFiles(
    spec: AttemptSpec,
    folder: AttemptFolder,
    withheld?: readonly NamedSecret[],
  ): AttemptOptions['keepFiles'] {
    const keeper = this.#artifacts
    if (keeper === undefined) return undefined
    const scratch = join(folder.path, 'artifacts')
    return (journal, signal) =>
      keeper.keepFiles({ spec, journal, scratch, signal, withheld }, this.workspaces.path(spec.run_id))
  }

  /** Returns the restrictions for an action in this process that must not use more than a box would allow. */
  #apart(spec: AttemptSpec): InlineContext['apart'] {
    if (this.boxes) return this.boxes.apart(spec)
    return needsBox(spec.isolation) ? { network: spec.network ?? 'all' } : undefined
  }

  /** Chooses the box for an attempt. Throws if the step requires more than this machine can provide. */
  #boxFacts(spec: AttemptSpec, { kind }: DriverKind): AttemptFacts['box'] {
    if (kind === 'bot') return undefined
    if (this.boxes) return this.boxes.facts(spec, kind ?? 'process')
    if (!needsBox(spec.isolation)) return undefined
    throw new ErrandError('unavailable', `This machine cannot provide a ${spec.isolation} for the attempt.`)
  }

  #box({ box, key, cage }: AttemptFacts, folder: string): Box | undefined {
    if (!box) return undefined
    if (this.boxes) return this.boxes.box(box, folder, key, cage?.limits)
    throw new ErrandError('unavailable', `This machine can no longer provide a ${box.isolation}.`)
  }

  #scopeOf({ spec, key, cage }: AttemptFacts, box: Box | undefined): Scope {
    const own = this.workspaces.own(spec.run_id)
    const workspace = { folder: own ?? process.cwd(), growth: own === undefined }
    const facts = cage ?? this.limits.facts(spec.limits, key)
    return this.limits.scope(facts, { mark: markOf(key), workspace, limiter: box?.limiter?.() })
  }
}

/** Holds the attempts of this machine that run, or have ended and are not released yet. */
class HeldAttempts {
  readonly #byId = new Map<string, Attempt>()

  get(attemptId: string): Attempt | undefined {
    return this.#byId.get(attemptId)
  }

  all(): Attempt[] {
    return [...this.#byId.values()]
  }

  ids(): Set<string> {
    return new Set(this.#byId.keys())
  }

  /** Returns the keys that identify the processes and cgroups of attempts that outlive this process. */
  keys(): Set<string> {
    return new Set(this.all().flatMap((one) => one.key ?? []))
  }

  add(attempt: Attempt): void {
    this.#byId.set(attempt.spec.attempt_id, attempt)
  }

  /** Forgets an attempt, but not another one that has replaced it. */
  forget(attempt: HeldAttempt): void {
    const id = attempt.spec.attempt_id
    if (this.#byId.get(id) === attempt) this.#byId.delete(id)
  }
}
