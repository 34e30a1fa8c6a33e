import { enableCompileCache } from 'node:module'
import { compiledFolder } from '../platform/compiled-folder.ts'

// Entry point of the source; the build starts in built.ts. This comes before anything else is loaded, so that code
// that was compiled once is read from this folder the next time.
enableCompileCache(compiledFolder())

// The exit code if Node runs out of work before the command has ended.
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
