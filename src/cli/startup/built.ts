import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { compiledFolder } from '../../platform/compiled-folder.ts'
import { largeCommands } from './large-commands.ts'
import { loadProgram } from './v8-code-cache.ts'

/** Where the build starts; the source starts in main.ts. */
const compiled = compiledFolder()
const argv = process.argv.slice(2)
// Where nothing is left to wait for before there is an end.
process.exitCode = 70

if (argv[0] === 'run') {
  // A bundle of its own: what a command needs to start is most of the time it takes.
  const { exports, keep } = loadProgram(join(import.meta.dirname, 'main-run.cjs'), compiled, require)
  const { main } = exports as typeof import('./main-run.ts')
  main(argv)
    .then((exitCode) => {
      process.exitCode = exitCode
      if (exitCode === 0 && isUsual(argv)) keep()
      // All is over and written by then: what Node would take apart goes with the process (2 ms of 90).
      const leave = () => process.exit()
      process.on('exit', leave)
      // Where a write has failed late Node tells of it after that, on its way out.
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

/** Of what is no command's: its bundle is damaged or not there. */
function failed(error: unknown): never {
  console.error(error)
  process.exit(70)
}

/** Commands that talk to a hub need a fifth of all the code; hub and runner stay, and so does the text of their programs. */
function program([word, ...rest]: readonly string[]): Promise<Pick<typeof import('./main-all.ts'), 'main'>> {
  if (word === 'up') return import('./main-hub.ts')
  if (word === 'runner') return import('./main-runner.ts')
  return [word, ...rest].some((each) => largeCommands.includes(each!))
    ? import('./main-all.ts')
    : import('./main-client.ts')
}

/**
 * Whether the command has called the functions that most runs call, so that their code is what is worth
 * keeping.
 */
function isUsual(argv: readonly string[]): boolean {
  return !argv.some((arg) => ['--help', '-h', '--hub'].includes(arg))
}
