import { enableCompileCache } from 'node:module'
import { compiledFolder } from '../platform/compiled-folder.ts'

// Where the source starts; the build starts in built.ts. Before anything else is loaded: what is compiled once is read
// from here the next time.
enableCompileCache(compiledFolder())

// Where nothing is left to wait for before there is an end.
process.exitCode = 70
import('./startup/main-all.ts')
  .then(({ main }) => main(process.argv.slice(2)))
  .then((exitCode) => {
    process.exitCode = exitCode
  })
  .catch((error: unknown) => {
    console.error(error)
    process.exit(70)
  })
