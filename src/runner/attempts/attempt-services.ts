import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import type { Cage } from '../limits/cage.ts'
import { LimitKeeper } from '../limits/limit-keeper.ts'
import { MachineSecrets } from '../secrets/machine-secrets.ts'
import { type AttemptFacts, type AttemptFolder, outlivesBoot } from './attempt-folder.ts'
import { AttemptFolders, unwritable } from './attempt-folders.ts'
import type { FolderAttempt, FolderAttemptOptions } from './folder-attempt.ts'
import { HeldAttempts } from './held-attempts.ts'
import { Journal } from './journal.ts'
import type { Left, Order } from './kinds/attempt-kind.ts'
import { Poller } from './poller.ts'
import { markOf } from './process-environment.ts'
import type { Workspaces } from './workspaces.ts'

export interface AttemptServicesOptions {
  /** Folder of the attempts' folders; one process at a time. */
  dir: string
  workspaces: Workspaces
  /** What a relative `output_path` is seen from (default: this process's folder). */
  outputDir?: string
  /** Between SIGTERM and SIGKILL where a timeout has passed (default 5 s). */
  timeoutGraceMs?: number
  /** What holds attempts to their limits; absent: a watchdog. */
  limits?: LimitKeeper
  /** Values that no attempt may put out, beside its own secrets, by name. */
  ownSecrets?: Readonly<Record<string, string>>
  /** Folder of the secrets that were mounted into this machine (default /run/secrets). */
  mountedSecretsDir?: string
}

/** What the attempts of this machine share, whatever their kind. */
export class AttemptServices {
  readonly held = new HeldAttempts()
  readonly folders: AttemptFolders
  readonly workspaces: Workspaces
  readonly outputDir: string
  readonly timeoutGraceMs: number
  readonly limits: LimitKeeper
  readonly secrets: MachineSecrets
  readonly #poller = new Poller()

  constructor(options: AttemptServicesOptions) {
    const { dir, workspaces, outputDir, timeoutGraceMs, limits, ownSecrets, mountedSecretsDir } = options
    this.workspaces = workspaces
    this.outputDir = resolve(outputDir ?? '.')
    this.timeoutGraceMs = timeoutGraceMs ?? 5_000
    this.limits = limits ?? new LimitKeeper({ choice: { heldBy: 'watchdog', why: 'it was not asked for' } })
    this.secrets = new MachineSecrets(ownSecrets, mountedSecretsDir)
    this.folders = new AttemptFolders(dir)
  }

  /** Makes the folder of a new attempt, and holds it. Throws `disk_full` where that cannot be written. */
  create<A extends FolderAttempt>(
    { spec, epoch, secrets }: Omit<Order, 'action'>,
    kind: Pick<AttemptFacts, 'kind' | 'export_vars'>,
    make: (options: FolderAttemptOptions) => A,
  ): A {
    const folder = this.folders.of(spec)
    const key = randomUUID()
    const cage = this.limits.facts(spec.limits, key)
    const storage = this.folders.storageId
    const facts = { spec, epoch, key, storage, ...kind, masked: secrets.masker && true, cage }
    try {
      folder.create(facts, secrets)
    } catch (cause) {
      throw unwritable(folder, cause)
    }
    try {
      return this.#keep({ folder, facts, secrets }, make)
    } catch (cause) {
      void folder.remove().catch(() => undefined)
      throw unwritable(folder, cause)
    }
  }

  /** Holds an attempt of an earlier process of this runner; undefined where it is not to go on. */
  async takeIn<A extends FolderAttempt>(
    left: Left,
    make: (options: FolderAttemptOptions) => A,
  ): Promise<A | undefined> {
    const lostPower = this.#lostPower(left.facts)
    // An end that was told has measured its output.
    if (lostPower && !hasEnded(left.folder)) left.folder.cutZeros()
    const attempt = this.#keep(left, make)
    if (attempt.ended) return undefined
    if (left.facts.masked && !left.secrets) {
      // What it puts out cannot be masked any more: nothing of it may leave this machine.
      await attempt.abandon()
      return undefined
    }
    if (!lostPower) return attempt
    // Of what was written last, any part may be missing: also the claim of a command that ran, or half of its output
    // beside a whole exit code.
    await attempt.finish({
      type: 'lost',
      why: 'Its machine was started anew before its end was told. What became of it is not known.',
    })
    return undefined
  }

  #lostPower(facts: AttemptFacts): boolean {
    const { storage } = facts
    return storage !== undefined && storage !== this.folders.storageId && !outlivesBoot(facts)
  }

  /** After all that is held is closed. */
  close(): void {
    this.#poller.close()
    if (this.held.all().every((attempt) => attempt.ended)) this.limits.close()
  }

  #keep<A extends FolderAttempt>(
    { folder, facts, secrets }: Omit<Left, 'action'>,
    make: (options: FolderAttemptOptions) => A,
  ): A {
    const attempt = make({
      folder,
      facts,
      cage: this.#cage(facts),
      secrets,
      poller: this.#poller,
      timeoutGraceMs: this.timeoutGraceMs,
      outputDir: this.outputDir,
      onReleased: () => this.held.forget(attempt),
    })
    this.held.add(attempt)
    return attempt
  }

  #cage({ spec, key, cage }: AttemptFacts): Cage {
    const own = this.workspaces.own(spec.run_id)
    const workspace = { folder: own ?? process.cwd(), growth: own === undefined }
    return this.limits.cage(cage ?? this.limits.facts(spec.limits, key), { mark: markOf(key), workspace })
  }
}

function hasEnded(folder: AttemptFolder): boolean {
  const journal = new Journal(folder.file('reports'), { durable: false })
  journal.close()
  return journal.entries.some((entry) => entry.type === 'report' && entry.report.type === 'ended')
}
