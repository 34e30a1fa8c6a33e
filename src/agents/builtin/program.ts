import { enableCompileCache } from 'node:module'
import { createInterface } from 'node:readline'
import { compiledFolder } from '../../platform/compiled-folder.ts'
import type { SessionRequest } from '../agent.ts'

/** Where the built-in agent starts: a program of its own, so that it outlives whoever has started it. */

enableCompileCache(compiledFolder())

const asked = JSON.parse(process.argv[2] ?? '{}') as Omit<SessionRequest, 'cwd' | 'env'>
const env = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
)

/** To the client's log of it. */
function failed(error: unknown): never {
  console.error(error)
  process.exit(1)
}

import('./server.ts')
  .then(({ BuiltinServer }) => {
    const server = new BuiltinServer({ ...asked, env }, (line) => void process.stdout.write(`${line}\n`))
    // The end of its input is the client's farewell.
    createInterface({ input: process.stdin })
      .on('line', (line) => server.line(line))
      .on('close', () => void server.close().then(() => process.exit(0), failed))
  })
  .catch(failed)
