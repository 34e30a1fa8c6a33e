import type { ChildProcess } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { ChildTree, endTree, spawnGroup } from '../../platform/child-tree.ts'
import { groupMembers, hasMark, isAlive } from '../../platform/proc.ts'
import { ENTER, UNHELD, unheldText } from '../limits/cgroups.ts'
import type { Scope } from '../limits/scope.ts'
import { type Box, unboxed } from '../sandbox/box.ts'
import { checkLaunch, type Launch, startFailure } from '../sandbox/launch.ts'
import type { AttemptFolder } from './attempt-folder.ts'
import type { Ending } from './verdict.ts'

export interface FoundWrapper {
  pid: number
  start: string
}

export interface WrappedProcessOptions {
  /** Folder that holds its claims and its exit code. */
  folder: AttemptFolder
  /** `NAME=value` in the environment of its processes. */
  mark: string
  /** Scope that its processes run in. */
  cage: Scope
  /** Box that encloses the launch; absent if there is none. */
  box?: Box
  /** Name that it is enclosed under (default `main`). */
  boxed?: string
  /** Called when the process has ended by itself; may be called more than once. */
  onEnd(ending: Ending, endedAtMs?: number): void
}

/**
 * Manages a process behind a wrapper: starts it under a claim or finds it again, watches it, and ends it with
 * everything it started.
 */
export class WrappedProcess {
  readonly #options: WrappedProcessOptions
  readonly #tree: ChildTree
  #child: ChildProcess | undefined
  /** Set while this watches a recovered process, which is not a child of this one. */
  #watched: FoundWrapper | undefined

  constructor(options: WrappedProcessOptions) {
    const { mark, cage, box } = options
    this.#options = options
    this.#tree = new ChildTree(mark, {
      members: () => this.#members(),
      spares: box && ((pid) => box.spares(pid)),
      seal: () => cage.seal(),
    })
  }

  /** Starts it under this claim; returns its pid. If the start fails, that is its end, not an error. */
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

  /** Polls the process while it is watched. */
  poll(): void {
    const wrapper = this.#watched
    // Its exit code is written before it is gone.
    if (wrapper === undefined || isAlive(wrapper.pid, wrapper.start)) return
    this.#watched = undefined
    this.settle(wrapper.pid).catch(() => {
      // No descriptors at the moment: the next check tries again.
      this.#watched = wrapper
    })
  }

  /** Settles a process that ended while no runner watched. */
  async settle(wrapperPid: number): Promise<void> {
    const { folder, mark, onEnd } = this.#options
    // By now the group's number may be in use by another group.
    const ours = groupMembers(wrapperPid).some((pid) => hasMark(pid, mark))
    this.#tree.group = ours ? wrapperPid : undefined
    const exit = folder.exit()
    const ending = exit && (this.#unheld() ?? this.#unboxed(exit.code) ?? { type: 'exited', code: exit.code })
    if (ending) return onEnd(ending, exit.atMs)
    await endTree({ group: this.#tree.group, mark, members: () => this.#members() }, 0)
    onEnd(lost(wrapperPid))
  }

  /**
   * Ends it and everything it started; returns false if some of it survives. A second call can only make it quicker.
   */
  stop(graceMs: number): Promise<boolean> {
    return this.#tree.stop(graceMs)
  }

  /** Ends what it has left behind in its group and in its box, so that nothing outlives its step. */
  sweep(): Promise<boolean> | undefined {
    const { box } = this.#options
    const swept = this.#tree.sweep()
    if (!box) return swept
    return Promise.all([swept, box.end()]).then(([group, inside]) => group !== false && inside)
  }

  /** Returns the ending as far as its exit code tells. */
  endingFound(): Ending {
    const exit = this.#options.folder.exit()
    return exit === undefined ? { type: 'stopped' } : { type: 'exited', code: exit.code }
  }

  /** Ends all of it, watched or not, even processes that hide. */
  async endAll(): Promise<boolean> {
    const { mark, box } = this.#options
    const gone = await endTree({ group: this.#tree.group, mark, members: () => this.#members() }, 0)
    return (await box?.end()) !== false && gone
  }

  /** Stops waiting for it. */
  unref(): void {
    this.#child?.unref()
  }

  /** Returns all known members besides the process tree. */
  #members(): number[] {
    const { cage, box } = this.#options
    return box ? [...cage.members(), ...box.members()] : cage.members()
  }

  /** Returns an ending if its box could not be made: then the exit code is not the program's. */
  #unboxed(code: number | null): Ending | undefined {
    const { box, boxed = 'main' } = this.#options
    return box && unboxed(box, boxed, code)
  }

  #unheld(): Ending | undefined {
    const cgroup = this.#options.folder.unheld()
    if (cgroup === undefined) return undefined
    return { type: 'start_failed', message: unheldText(cgroup) }
  }

  #exited(code: number | null, signal: NodeJS.Signals | null): void {
    const { folder, onEnd } = this.#options
    const unboxed = this.#unboxed(code)
    if (unboxed) onEnd(unboxed)
    else if (code === NOT_CLAIMED && folder.exit() === undefined)
      onEnd({ type: 'start_failed', message: `${folder.path} could not be written to.` })
    else if (signal !== null) onEnd({ type: 'signaled', signal })
    else onEnd((code === UNHELD ? this.#unheld() : undefined) ?? { type: 'exited', code: code ?? 0 })
  }
}

const lost = (pid: number): Ending => ({
  type: 'lost',
  why: `Its process ${pid} has vanished without an exit code: it was killed, or the machine was restarted.`,
})

/**
 * Wraps a command so that it outlives the runner and its exit code is stored. Arguments: claim file, exit file, the
 * number of cgroups to enter, these cgroups, then the command. Descriptors 3 and 4 become its output.
 *
 * The claim is created without overwriting, so that only one of all the possible wrappers runs the command. The wrapper
 * traps signals because a handler is not inherited, as an ignored signal would be: a signal to the group ends the
 * command and not the wrapper. A SIGTERM before the start prevents the start. The wrapper uses only builtins, so it
 * forks for nothing but the command. The command has a subshell because a shell reports a signal that killed its
 * command ("Terminated") on its own error output, which would otherwise be the command's.
 */
const CLAIM = `
errand_stop=
trap : HUP INT QUIT USR1 USR2 ALRM PIPE
trap errand_stop=1 TERM
read -r errand_stat </proc/$$/stat
read -r errand_boot </proc/sys/kernel/random/boot_id
set -C
printf '%s\\n%s\\n%s\\n' "$$" "$errand_stat" "$errand_boot" >"$1" || exit 75
set +C
errand_exit=$2
shift 2
errand_code=143
errand_unheld=$errand_exit.unheld
${ENTER}`
const KEEP_EXIT = `
read -r errand_stat </proc/$$/stat
printf '%s %s\\n' "$errand_code" "$errand_stat" >"$errand_exit"
exit "$errand_code"
`
const WRAPPER = `${CLAIM}
[ "$errand_stop" ] || {
  ( errand_enter "$@" >&3 2>&4 )
  errand_code=$?
}
${KEEP_EXIT}`
/**
 * Wraps a command like `CLAIM`, and feeds it a file as standard input, including what is appended later: a "tail"
 * follows the file and feeds a pipe. Two more arguments come before the command: that file, and the file for the pid of
 * the "tail", because ending the "tail" ends the input. It starts in the background, so that nothing waits for its end.
 * It holds the pipe as a second, high descriptor because Linux closes the highest first, and may take 15 ms to close
 * the one that watches the file: the command need not wait for that.
 */
const WRAPPER_WITH_INPUT = `${CLAIM}
errand_input=$1 errand_tail=$2
shift 2
[ "$errand_stop" ] || {
  {
    tail -c +1 -f "$errand_input" 2>/dev/null 3>&- 4>&- 9>&1 &
    printf '%s\n' "$!" >"$errand_tail"
  } | {
    trap : HUP INT QUIT USR1 USR2 ALRM PIPE TERM
    ( errand_enter "$@" >&3 2>&4 )
    errand_code=$?
    read -r errand_pid <"$errand_tail" && kill "$errand_pid" 2>/dev/null
    exit "$errand_code"
  }
  errand_code=$?
}
${KEEP_EXIT}`
/** Exit code of a wrapper that could not claim; there is no exit file then. */
const NOT_CLAIMED = 75

interface WrappedCommand {
  claimFile: string
  exitFile: string
  /** Cgroups that the command enters; if it cannot, the file `exit.unheld` names the one that failed. */
  enter: readonly string[]
  /** Command line; its first element is a path. */
  argv: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
  stdoutFd: number
  stderrFd: number
  /** Standard input, from a file that is appended to; absent if there is none. */
  input?: WrappedInput
}

interface WrappedInput {
  file: string
  tail: string
}

/** Starts the command in its own session, and so in its own group. Throws or emits `error` like `spawn`. */
export function spawnWrapped(command: WrappedCommand): ChildProcess {
  const { claimFile, exitFile, enter, argv, cwd, env, stdoutFd, stderrFd, input } = command
  const script = input === undefined ? WRAPPER : WRAPPER_WITH_INPUT
  const more = input === undefined ? [] : [input.file, input.tail]
  const files = [claimFile, exitFile, ...more]
  const args = ['-c', script, 'errand', ...files, String(enter.length), ...enter, ...argv]
  return spawnGroup(['/bin/sh', ...args], {
    cwd,
    env,
    stdio: ['ignore', 'ignore', 'ignore', stdoutFd, stderrFd],
  })
}
