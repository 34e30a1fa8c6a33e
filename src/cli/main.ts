import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Where the source starts; the build starts in built.ts. Before anything else is loaded: what is compiled once is read
// from here the next time.
enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'errand', 'compiled'))

// Where nothing is left to wait for before there is an end.
process.exitCode = 70
import('./startup/main-all.ts')
  .then(({ main }) => main(process.argv.slice(2)))
  .then((exitCode) => {
    process.exitCode = exitCode
  })
