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
const WRAPPER = `
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
[ "$errand_stop" ] || {
  ( exec "$@" >&3 2>&4 3>&- 4>&- )
  errand_code=$?
}
printf '%s\\n' "$errand_code" >"$errand_exit"
exit "$errand_code"
`
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
}

/** Starts it in a session, and so a group, of its own. Throws or emits `error` as `spawn` does. */
export function spawnWrapped(command: WrappedCommand): ChildProcess {
  const { claimFile, exitFile, argv, cwd, env, stdoutFd, stderrFd } = command
  return spawn('/bin/sh', ['-c', WRAPPER, 'errand', claimFile, exitFile, ...argv], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', stdoutFd, stderrFd],
  })
}
