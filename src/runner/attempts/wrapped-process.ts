import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { ChildTree, endTree } from '../../platform/process-ending.ts'
import { groupMembers, hasMark, isAlive } from '../../platform/process-tree.ts'
import type { Cage } from '../limits/cage.ts'
import { UNHELD, unheldText } from '../limits/enter-script.ts'
import type { AttemptFolder } from './attempt-folder.ts'
import type { Ending } from './outcome.ts'
import { checkLaunch, type Launch, startFailure } from './start-failure.ts'
import { NOT_CLAIMED, spawnWrapped, type WrappedCommand } from './wrapper.ts'

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
  readonly #tree: ChildTree
  #child: ChildProcess | undefined
  /** Set while a process found again, which is no child of this one, is watched. */
  #watched: FoundWrapper | undefined

  constructor(options: WrappedProcessOptions) {
    const { mark, cage } = options
    this.#options = options
    this.#tree = new ChildTree(mark, { members: cage.members, seal: () => cage.seal() })
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
      this.#tree.group = child.pid
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
    this.#tree.group = wrapper.pid
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
    this.#tree.group = ours ? wrapperPid : undefined
    const exit = folder.exit()
    if (exit !== undefined) return onEnd(this.#unheld() ?? { type: 'exited', code: exit.code }, exit.atMs)
    await endTree({ group: this.#tree.group, mark, members: this.#options.cage.members }, 0)
    onEnd(lost(wrapperPid))
  }

  /** Ends it and all that it started; false where something of it survives. A second call can only make it quicker. */
  stop(graceMs: number): Promise<boolean> {
    return this.#tree.stop(graceMs)
  }

  /** Ends what it has left behind in its group: nothing outlives its step. */
  sweep(): Promise<boolean> | undefined {
    return this.#tree.sweep()
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
