import { type ChildProcess, spawn } from 'node:child_process'

/**
 * What stands between the runner and a command, so that the command outlives the runner and its exit code is
 * kept. Arguments: claim file, exit file, then the command. Descriptors 3 and 4 become its output.
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
`
const KEEP_EXIT = `
printf '%s\\n' "$errand_code" >"$errand_exit"
exit "$errand_code"
`
const WRAPPER = `${CLAIM}
[ "$errand_stop" ] || {
  ( exec "$@" >&3 2>&4 3>&- 4>&- )
  errand_code=$?
}
${KEEP_EXIT}`
/**
 * The same, with what is and will be appended to a file as the command's standard input: a "tail" follows the file
 * and feeds a FIFO. Further arguments before the command: that file, the FIFO, and where the pid of the "tail" is put:
 * ending that is the end of the input. The FIFO stands at a second, high descriptor of it because Linux lets go of the
 * highest first, and may take 15 ms over the one by which the file is watched: the command need not wait for that.
 */
const WRAPPER_WITH_INPUT = `${CLAIM}
errand_input=$1 errand_fifo=$2 errand_tail=$3
shift 3
[ "$errand_stop" ] || {
  [ ! -e "$errand_fifo" ] || rm -f "$errand_fifo"
  mkfifo -m 600 "$errand_fifo" || exit 75
  tail -c +1 -f "$errand_input" >"$errand_fifo" 2>/dev/null 3>&- 4>&- 9>&1 &
  errand_pid=$!
  printf '%s\n' "$errand_pid" >"$errand_tail"
  ( exec "$@" <"$errand_fifo" >&3 2>&4 3>&- 4>&- )
  errand_code=$?
  kill "$errand_pid" 2>/dev/null
}
${KEEP_EXIT}`
/** The wrapper's exit code where it could not claim; then there is no exit file either. */
export const NOT_CLAIMED = 75

export interface WrappedCommand {
  claimFile: string
  exitFile: string
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
  fifo: string
  tail: string
}

/** Starts it in a session, and so a group, of its own. Throws or emits `error` as `spawn` does. */
export function spawnWrapped(command: WrappedCommand): ChildProcess {
  const { claimFile, exitFile, argv, cwd, env, stdoutFd, stderrFd, input } = command
  const script = input === undefined ? WRAPPER : WRAPPER_WITH_INPUT
  const more = input === undefined ? [] : [input.file, input.fifo, input.tail]
  return spawn('/bin/sh', ['-c', script, 'errand', claimFile, exitFile, ...more, ...argv], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', stdoutFd, stderrFd],
  })
}
