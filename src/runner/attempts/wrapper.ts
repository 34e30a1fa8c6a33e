import type { ChildProcess } from 'node:child_process'
import { spawnGroup } from '../../platform/process-ending.ts'
import { ENTER } from '../limits/enter-script.ts'

/**
 * What stands between the runner and a command, so that the command outlives the runner and its exit code is
 * kept. Arguments: claim file, exit file, how many cgroups the command puts itself into, these, then the command.
 * Descriptors 3 and 4 become its output.
 *
 * The claim is made without overwriting, so that of all that might run the command only one does. A handler is
 * not inherited, as ignoring a signal would be: a signal to the group ends the command and not the wrapper. A
 * SIGTERM that comes before the command is started keeps it from being started.
 * Only builtins: no fork beyond the command. That has a subshell because a shell tells of a signal that killed it
 * ("Terminated") where its own error output goes, and without one that would be the command's.
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
 * The same, with what is and will be appended to a file as the command's standard input: a "tail" follows the file
 * and feeds a pipe. Further arguments before the command: that file, and where the pid of the "tail" is put: ending
 * that is the end of the input. It is started in the background, so that nothing waits for its own end. The pipe
 * stands at a second, high descriptor of it because Linux lets go of the highest first, and may take 15 ms over the
 * one by which the file is watched: the command need not wait for that.
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
/** The wrapper's exit code where it could not claim; then there is no exit file either. */
export const NOT_CLAIMED = 75

export interface WrappedCommand {
  claimFile: string
  exitFile: string
  /** Cgroups that it puts itself into; where it cannot, the file `exit.unheld` says which. */
  enter: readonly string[]
  /** The first is a path. */
  argv: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
  stdoutFd: number
  stderrFd: number
  /** Standard input, from a file that is appended to; absent: none. */
  input?: WrappedInput
}

export interface WrappedInput {
  file: string
  tail: string
}

/** Starts it in a session, and so a group, of its own. Throws or emits `error` as `spawn` does. */
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
