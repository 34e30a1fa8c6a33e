import type { Launch } from '../sandbox/launch.ts'
import { IO_INSIDE } from './container-spec.ts'

/** Matches names that a shell can export, except those that it reserves. */
const EXPORTED = /^(?!(?:SHELLOPTS|BASHOPTS|BASH_VERSINFO|PPID|UID|EUID|_)$)[A-Za-z_][A-Za-z0-9_]*$/

/**
 * Returns the script that a container begins with, for any `sh`; its arguments are further arguments of the program. It
 * takes its streams, checks folder and program, reports that it begins, waits until nobody else can write to its pipes,
 * runs the program, reports its exit code, and waits for the container's end. So the variables, and the secrets among
 * them, are only in this file and not at the engine. A signal to the group ends the program and not the script.
 * `program` must exist; it differs from the first word if other words come before it.
 */
export function startScript({ argv, cwd, env }: Launch, program = argv[0]!): string {
  const exported = Object.entries(env).filter(([name]) => EXPORTED.test(name))
  return `exec <${IO_INSIDE}/stdin >>${IO_INSIDE}/stdout 2>>${IO_INSIDE}/stderr 8>${IO_INSIDE}/said 9<${IO_INSIDE}/go || exit 125
errand_park() { printf '%s\\n' "$1" >&8; read -r errand_never <&9; exit 125; }
errand_env() {
:
${exported.map(([name, value = '']) => `export ${name}=${quoted(value)}\n`).join('')}}
unset TINI_KILL_PROCESS_GROUP
cd ${quoted(cwd)} 2>/dev/null || errand_park folder
( errand_env; command -v ${quoted(program)} ) >/dev/null 2>&1 || errand_park missing
trap : HUP INT QUIT USR1 USR2 ALRM PIPE TERM
set -- ${argv.map(quoted).join(' ')} "$@"
printf 'began\\n' >&8
read -r errand_go <&9 || exit 125
( errand_env; exec "$@" 8>&- 9<&- )
errand_park "done $?"
`
}

/** Returns the variables that no shell can export, in the engine's format. */
export const engineVariables = (env: Launch['env']): string[] =>
  Object.entries(env).flatMap(([name, value]) => (EXPORTED.test(name) ? [] : [`${name}=${value}`]))

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
