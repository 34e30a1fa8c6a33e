import { enableCompileCache } from 'node:module'
import { createInterface } from 'node:readline'
import { compiledFolder } from '../../platform/compiled-folder.ts'
import type { SessionRequest } from '../agent.ts'

// The entry point of the built-in agent, which is a separate program so that it outlives the process that started it.

enableCompileCache(compiledFolder())

const request = JSON.parse(process.argv[2] ?? '{}') as Omit<SessionRequest, 'cwd' | 'env'>
const env = Object.fromEntries(
  Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
)

/** Writes an error to stderr, which the client logs, and exits. */
function failed(error: unknown): never {
  console.error(error)
  process.exit(1)
}

import('./server.ts')
  .then(({ BuiltinServer }) => {
    const server = new BuiltinServer({ ...request, env }, (line) => void process.stdout.write(`${line}\n`))
    // The client ends the program by closing its input.
    createInterface({ input: process.stdin })
      .on('line', (line) => server.line(line))
      .on('close', () => void server.close().then(() => process.exit(0), failed))
  })
  .catch(failed)
