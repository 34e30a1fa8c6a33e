import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { compiledFolder } from '../../platform/compiled-folder.ts'
import { largeCommands } from './large-commands.ts'
import { loadProgram } from './v8-code-cache.ts'

/** Folder of compiled code. This file is the entry point of the build; main.ts is that of the source. */
const compiled = compiledFolder()
const argv = process.argv.slice(2)
// The exit code if Node runs out of work before the command has ended.
process.exitCode = 70

if (argv[0] === 'run') {
  // `run` has its own bundle: starting is most of the time that the command takes.
  const { exports, keep } = loadProgram(join(import.meta.dirname, 'main-run.cjs'), compiled, require)
  const { main } = exports as typeof import('./main-run.ts')
  main(argv)
    .then((exitCode) => {
      process.exitCode = exitCode
      if (exitCode === 0 && isUsual(argv)) keep()
      // All output is written by then. Leaving now skips Node's own cleanup (2 ms of 90).
      const leave = () => process.exit()
      process.on('exit', leave)
      // If a write failed late, Node reports it after this point, on its way out.
      process.on('uncaughtExceptionMonitor', () => process.off('exit', leave))
    })
    .catch(failed)
} else {
  enableCompileCache(compiled)
  program(argv)
    .then(({ main }) => main(argv))
    .then((exitCode) => {
      process.exitCode = exitCode
    })
    .catch(failed)
}

/** Handles errors that no command handles: the bundle is damaged or missing. */
function failed(error: unknown): never {
  console.error(error)
  process.exit(70)
}

/** Picks the bundle: hub clients need a fifth of the code; hub and runner run long, and so the code stays in memory. */
function program([word, ...rest]: readonly string[]): Promise<Pick<typeof import('./main-all.ts'), 'main'>> {
  if (word === 'up') return import('./main-hub.ts')
  if (word === 'runner') return import('./main-runner.ts')
  return [word, ...rest].some((each) => largeCommands.includes(each!))
    ? import('./main-all.ts')
    : import('./main-client.ts')
}

/**
 * Reports whether the command has called the functions that most runs call, so that their compiled code is worth
 * caching.
 */
function isUsual(argv: readonly string[]): boolean {
  return !argv.some((arg) => ['--help', '-h', '--hub'].includes(arg))
}
