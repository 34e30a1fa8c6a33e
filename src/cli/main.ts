import { enableCompileCache } from 'node:module'
import { homedir } from 'node:os'
import { join } from 'node:path'

// Before anything else is loaded: what is compiled once is read from here the next time.
enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'errand', 'compiled'))

const { dispatch } = await import('./entry.ts')
process.exitCode = await dispatch(process.argv.slice(2))
