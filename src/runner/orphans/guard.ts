import { spawnGroup } from '../../platform/child-tree.ts'
import { ownProgram } from '../../platform/own-program.ts'
import { hasLimited } from './time-guard.ts'

/** The variables by which the container engine, and programs, are found. */
const PASSED_ON = ['PATH', 'HOME']

/** Waits for a word, or for the end of who could say it, and becomes the guard then. Builtins only: it costs a shell's memory. */
const WAIT = 'read -r word && exit; exec "$@"'

/**
 * Starts what waits beside a runner for its end, however that comes, and then holds the attempts that go on to their time limits.
 * `close`: the runner leaves in order, with nothing to be ended by it any more; once, last of all.
 */
export function startGuard(folder: string, env: NodeJS.ProcessEnv): { close(): void } {
  const given = Object.fromEntries(PASSED_ON.map((name) => [name, env[name]]))
  const program = ownProgram(import.meta.dirname, 'guard-program.ts', 'guard.cjs')
  const child = spawnGroup<'stdin'>(
    ['/bin/sh', '-c', WAIT, 'errand-guard', process.execPath, program, folder],
    // Not in the runner's folder: whoever takes that away ends all that works there.
    { cwd: '/', env: given, stdio: ['pipe', 'ignore', 'ignore'] },
  )
  // Without processes or memory for it, attempts are held to their time by the runner alone.
  child.on('error', () => {})
  child.stdin.on('error', () => {})
  child.unref()
  ;(child.stdin as typeof child.stdin & { unref(): void }).unref()
  return {
    close() {
      // Otherwise the end of this process is what it waits for.
      if (!hasLimited(folder)) child.stdin.end('none\n')
    },
  }
}
