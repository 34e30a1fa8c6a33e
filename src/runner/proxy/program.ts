import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { runProxy } from './server.ts'

/** Where the proxy of a runner starts: a program of its own, so that it outlives whoever has started it. Its argument is its folder. */

const [, program = '', folder = ''] = process.argv
/** The program's own file: one that differs is another version. */
const version = createHash('sha256').update(readFileSync(program)).digest('hex').slice(0, 16)

void runProxy({ folder, version }).catch((error: Error) => {
  console.error(error)
  process.exit(1)
})
