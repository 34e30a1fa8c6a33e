import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { endTree, sweepGroup } from '../../platform/process-ending.ts'
import { groupMembers, hasMark, isAlive, type ProcessTree } from '../../platform/process-tree.ts'
import type { Cage } from '../limits/cage.ts'
import { UNHELD, unheldText } from '../limits/enter-script.ts'
import type { AttemptFolder } from './attempt-folder.ts'
import type { Ending } from './outcome.ts'
import { checkLaunch, type Launch, startFailure } from './start-failure.ts'
import { NOT_CLAIMED, spawnWrapped, type WrappedCommand } from './wrapper.ts'

/** For background processes of a command that has ended: long enough to say goodbye, too short to be waited for. */
const SWEEP_GRACE_MS = 300

export interface FoundWrapper {
  pid: number
  start: string
}

export interface WrappedProcessOptions {
  /** Holds its claims and its exit code. */
  folder: AttemptFolder
  /** `NAME=value` in its processes' environment. */
  mark: string
  /** What its processes run in. */
  cage: Cage
  /** It has ended, by itself; may be called more than once. */
  onEnd(ending: Ending, endedAtMs?: number): void
}

/** A process behind a wrapper: started under a claim or found again, watched, and ended with all that it started. */
export class WrappedProcess {
  readonly #options: WrappedProcessOptions
  readonly #force = new AbortController()
  #child: ChildProcess | undefined
  /** Set while a process found again, which is no child of this one, is watched. */
  #watched: FoundWrapper | undefined
  #group: number | undefined
  #stopping: Promise<boolean> | undefined

  constructor(options: WrappedProcessOptions) {
    this.#options = options
  }

  /** Starts it under this claim; answers its pid. A failure to do so is its end, not an error. */
  begin(
    launch: Launch,
    claim: number,
    more: Pick<WrappedCommand, 'stdoutFd' | 'stderrFd' | 'input'> & { script?: string },
  ): number | undefined {
    const { folder, cage, onEnd } = this.#options
    const failed = (error: unknown) => onEnd({ type: 'start_failed', message: startFailure(error, launch) })
    try {
      const argv = [checkLaunch(launch), ...launch.argv.slice(1)]
      const { script, ...streams } = more
      if (script !== undefined) {
        argv.push(folder.file('script'))
        writeFileSync(folder.file('script'), script, { mode: 0o600 })
      }
      cage.make()
      const child = spawnWrapped({
        ...launch,
        ...streams,
        argv,
        claimFile: folder.file(`claim.${claim}`),
        exitFile: folder.file('exit'),
        enter: cage.enter,
      })
      child.once('error', failed)
      if (child.pid === undefined) return undefined
      this.#child = child
      this.#group = child.pid
      cage.begun(child.pid)
      child.once('exit', (code, signal) => this.#exited(code, signal))
      return child.pid
    } catch (error) {
      failed(error)
      return undefined
    }
  }

  /** Watches a process that an earlier runner started. */
  watch(wrapper: FoundWrapper): void {
    this.#watched = wrapper
    this.#group = wrapper.pid
    this.#options.cage.begun(wrapper.pid)
  }

  /** Now and then, while it is watched. */
  poll(): void {
    const wrapper = this.#watched
    // Its exit code is written before it is gone.
    if (wrapper === undefined || isAlive(wrapper.pid, wrapper.start)) return
    this.#watched = undefined
    this.settle(wrapper.pid).catch(() => {
      // No descriptors just now: the next look tries again.
      this.#watched = wrapper
    })
  }

  /** Takes in the end of a process that ended while no runner watched. */
  async settle(wrapperPid: number): Promise<void> {
    const { folder, mark, onEnd } = this.#options
    // By now the group's number may be another's.
    const ours = groupMembers(wrapperPid).some((pid) => hasMark(pid, mark))
    this.#group = ours ? wrapperPid : undefined
    const exit = folder.exit()
    if (exit !== undefined) return onEnd(this.#unheld() ?? { type: 'exited', code: exit.code }, exit.atMs)
    await endTree(this.#tree(), 0)
    onEnd(lost(wrapperPid))
  }

  /** Ends it and all that it started; false where something of it survives. A second call can only make it quicker. */
  stop(graceMs: number): Promise<boolean> {
    if (this.#stopping !== undefined && graceMs === 0) this.#force.abort()
    this.#stopping ??= endTree(this.#tree(), graceMs, this.#force.signal, () => this.#options.cage.seal())
    return this.#stopping
  }

  /** Ends what it has left behind in its group: nothing outlives its step. */
  sweep(): Promise<boolean> | undefined {
    return this.#stopping ?? (this.#group === undefined ? undefined : sweepGroup(this.#group, SWEEP_GRACE_MS))
  }

  /** As far as its exit code tells. */
  endingFound(): Ending {
    const exit = this.#options.folder.exit()
    return exit === undefined ? { type: 'stopped' } : { type: 'exited', code: exit.code }
  }

  /** Stops waiting for it. */
  unref(): void {
    this.#child?.unref()
  }

  #tree(): ProcessTree {
    return { group: this.#group, mark: this.#options.mark, members: this.#options.cage.members }
  }

  #unheld(): Ending | undefined {
    const cgroup = this.#options.folder.unheld()
    if (cgroup === undefined) return undefined
    return { type: 'start_failed', message: unheldText(cgroup) }
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    const { folder, onEnd } = this.#options
    if (code === NOT_CLAIMED && folder.exit() === undefined)
      onEnd({ type: 'start_failed', message: `${folder.path} could not be written to.` })
    else if (signal !== null) onEnd({ type: 'signaled', signal })
    else onEnd((code === UNHELD ? this.#unheld() : undefined) ?? { type: 'exited', code: code ?? 0 })
  }
}

const lost = (pid: number): Ending => ({
  type: 'lost',
  why: `Its process ${pid} has vanished without an exit code: it was killed, or the machine was restarted.`,
})
