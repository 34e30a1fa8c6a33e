import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { StreamName } from '../../contract/attempt.ts'
import { ChildTree, type ChildWith, spawnGroup } from '../../platform/child-tree.ts'
import type { Driven, Driver, Swept } from '../attempts/driver.ts'
import { markOf } from '../attempts/launch.ts'
import type { PushedOutput } from '../attempts/pushed-output.ts'
import type { Cause, Ending } from '../attempts/verdict.ts'
import { ENTER, UNHELD, unheldText } from '../limits/cgroups.ts'
import { type Box, type BoxMounts, unboxed } from '../sandbox/box.ts'
import { checkLaunch, type Launch, startFailure } from '../sandbox/launch.ts'
import type { LocalLimits } from './local-limits.ts'
import { OutputPump } from './local-output.ts'

export interface ChildDriverOptions {
  launch: Launch
  /** Script whose path becomes the last argument. */
  script?: string
  /** Box that it runs in, with its mounts and its folder; absent if there is none. */
  box?: { box: Box; mounts: BoxMounts; folder: string }
  /** Value of the mark in the process's environment. */
  key: string
  output: Pick<PushedOutput, 'push' | 'end'>
  limits: LocalLimits
}

/** Runs a command as a child of this process: its output comes through pipes, and nothing of it is on the disk. */
export class ChildDriver implements Driver {
  readonly #attempt: Driven
  readonly #options: ChildDriverOptions
  readonly #tree: ChildTree
  #pumps: OutputPump[] = []
  #scriptFolder: string | undefined
  #beganAtMs = 0

  constructor(attempt: Driven, options: ChildDriverOptions) {
    const { key, limits, box } = options
    this.#attempt = attempt
    this.#options = options
    this.#tree = new ChildTree(markOf(key), {
      members: box ? () => [...limits.members(), ...box.box.members()] : limits.members,
      spares: box && ((pid) => box.box.spares(pid)),
      seal: () => limits.seal(),
    })
  }

  begin(): void {
    this.#beganAtMs = Date.now()
    void this.#begin().catch((error) => {
      const message = startFailure(error, this.#options.launch)
      this.#over({ type: 'start_failed', message })
    })
  }

  stop(graceMs: number): void {
    // Before the process starts, its limits are set up; the code after that checks for the cause.
    if (this.#tree.group === undefined) return
    // A process that survives SIGKILL is not waited for.
    void this.#tree.stop(graceMs).then((gone) => gone || this.#over({ type: 'stopped' }))
  }

  expedite(): void {
    this.#tree.expedite()
  }

  async sweep(): Promise<Swept> {
    if (this.#tree.group !== undefined) {
      // Past a limit nothing may survive, not even processes that have left the group.
      const isFailed = this.#attempt.cause?.type === 'failed'
      await (isFailed ? this.#tree.stop(0) : this.#tree.sweep())
    }
    const gone = await this.#endBox()
    for (const pump of this.#pumps) pump.processEnded()
    for (const pump of this.#pumps) await pump.drained
    await this.#options.output.end().catch(this.#refused)
    if (this.#scriptFolder !== undefined) rmSync(this.#scriptFolder, { recursive: true, force: true })
    return { survives: !gone }
  }

  async kill(): Promise<void> {
    await this.#tree.stop(0)
    await this.#endBox()
  }

  async #begin(): Promise<void> {
    const { launch: values, limits, box } = this.#options
    const bare = { ...values, argv: this.#argv() }
    const launch = box ? await this.#inBox(bare, box) : bare
    const enter = limits.limited ? await limits.make() : []
    if (this.#attempt.cause !== undefined) return this.#over({ type: 'stopped' })
    const child = spawnWithin(enter, launch, (ending) => this.#over(this.#judged(ending)))
    child.once('error', (error) => this.#over({ type: 'start_failed', message: startFailure(error, launch) }))
    if (child.pid === undefined) return
    this.#pumps = [this.#pump('stdout', child.stdout), this.#pump('stderr', child.stderr)]
    child.stdout.once('end', () => limits.ending())
    this.#tree.group = child.pid
    limits.begun(child.pid, (breach) => this.#attempt.stop({ type: 'failed', ...breach }, 0))
    this.#attempt.running(child.pid, Date.now())
  }

  #argv(): readonly string[] {
    const { launch, script, key } = this.#options
    if (script === undefined) return launch.argv
    this.#scriptFolder = mkdtempSync(join(tmpdir(), `errand-${key.replace('/', '-')}-`))
    const file = join(this.#scriptFolder, 'script')
    writeFileSync(file, script, { mode: 0o600 })
    return [...launch.argv, file]
  }

  async #inBox(launch: Launch, { box, mounts }: NonNullable<ChildDriverOptions['box']>): Promise<Launch> {
    await box.prepare()
    const script = this.#scriptFolder === undefined ? [] : [this.#scriptFolder]
    return box.enclose(launch, { ...mounts, readable: [...mounts.readable, ...script] }, 'main')
  }

  #judged(ending: Ending): Ending {
    const { box } = this.#options
    return (box && ending.type === 'exited' && unboxed(box.box, 'main', ending.code)) || ending
  }

  /** Ends the box; returns false if something in it survives. */
  async #endBox(): Promise<boolean> {
    if (!this.#options.box) return true
    const { box, folder } = this.#options.box
    const gone = await box.end()
    rmSync(folder, { recursive: true, force: true })
    return gone
  }

  #pump(stream: StreamName, pipe: Readable): OutputPump {
    const { output } = this.#options
    return new OutputPump({ pipe, push: (bytes) => output.push(stream, bytes), onError: this.#refused })
  }

  readonly #refused = (error: unknown): void => {
    const message = `Its output could not be stored: ${(error as Error).message}.`
    const cause: Cause = { type: 'failed', reason: 'output_failed', message }
    // If the process has ended already, there is nothing to stop, but the cause counts.
    this.#attempt.journal.keepCause(cause)
    this.#attempt.stop(cause, 0)
  }

  #over(ending: Ending): void {
    void this.#attempt.finish(ending, { beganAtMs: this.#beganAtMs })
  }
}

/** Starts a command in its own group, inside these cgroups. Throws or emits `error` like `spawn`. */
function spawnWithin(
  enter: readonly string[],
  launch: Launch,
  onEnd: (ending: Ending) => void,
): ChildWith<'stdout' | 'stderr'> {
  const { argv, cwd, env } = launch
  const options = { cwd, env }
  if (enter.length === 0) {
    const child = spawnGroup<'stdout' | 'stderr'>(argv, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
    child.once('exit', (code, signal) => onEnd(endingOf(code, signal)))
    return child
  }
  const script = `errand_unheld=/dev/fd/3\n${ENTER}\nerrand_enter "$@"`
  const args = ['-c', script, 'errand', String(enter.length), ...enter, checkLaunch(launch), ...argv.slice(1)]
  const child = spawnGroup<'stdout' | 'stderr'>(['/bin/sh', ...args], {
    ...options,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  })
  const unheld = text(child.stdio[3] as Readable)
  unheld.catch(() => undefined)
  child.once('exit', async (code, signal) => {
    const cgroup = code === UNHELD ? (await unheld.catch(() => '')).trim() : ''
    onEnd(cgroup === '' ? endingOf(code, signal) : { type: 'start_failed', message: unheldText(cgroup) })
  })
  return child
}

function endingOf(code: number | null, signal: NodeJS.Signals | null): Ending {
  return signal === null ? { type: 'exited', code: code ?? 0 } : { type: 'signaled', signal }
}
