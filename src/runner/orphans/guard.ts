import { spawnGroup } from '../../platform/child-tree.ts'
import { ownProgram } from '../../platform/own-program.ts'
import { hasLimited } from './time-guard.ts'

/** Variables that it needs to find programs and the container engine. */
const PASSED_ON = ['PATH', 'HOME']

/**
 * Waits for a word from the runner, or for its end, and then becomes the guard. It uses only builtins, so it costs one
 * shell.
 */
const WAIT = 'read -r word && exit; exec "$@"'

/**
 * Starts the process that waits beside a runner for its end, however it ends, and then enforces the time limits of the
 * attempts that are still running. Call `close` once and last, when the runner stops in order.
 */
export function startGuard(folder: string, env: NodeJS.ProcessEnv): { close(): void } {
  const inherited = Object.fromEntries(PASSED_ON.map((name) => [name, env[name]]))
  const program = ownProgram(import.meta.dirname, 'guard-program.ts', 'guard.cjs')
  const child = spawnGroup<'stdin'>(
    ['/bin/sh', '-c', WAIT, 'errand-guard', process.execPath, program, folder],
    // Not in the runner's folder: whoever deletes that ends everything that works there.
    { cwd: '/', env: inherited, stdio: ['pipe', 'ignore', 'ignore'] },
  )
  // Without processes or memory for it, only the runner enforces the time limits.
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
