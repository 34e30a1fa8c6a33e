import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Before anything else is loaded: what is compiled once is read from here the next time.
enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'errand', 'compiled'))

// `errand run` is a bundle of its own: what a command needs to start is most of the time it takes.
const program = process.argv[2] === 'run' ? import('./main-run.ts') : import('./main-all.ts')
program
  .then(({ main }) => main(process.argv.slice(2)))
  .then((exitCode) => {
    process.exitCode = exitCode
  })
